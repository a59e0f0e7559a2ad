from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from espnet3.errors import BundleError, ConfigError, HubError, MissingConfigError
from espnet3.publication import bundle, hub_errors
from espnet3.publication.upload_plan import check_contents, plan_upload
from espnet3.systems.base.publication_plan import describe_upload
from espnet3.utils import publish_utils
from espnet3.utils.path_utils import write_text
from tests.unit.publication.conftest import write
from tests.unit.publication.hub_server import (
    OWNER_TOKEN,
    READ_TOKEN,
    HubServer,
    running_hub,
)

# The client's own use of its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "ada/digits"
LARGE = {"exp/m/weights.safetensors": b"w" * 3000, "exp/m/stats.npz": b"s" * 2000}


@pytest.fixture
def hub():
    with running_hub() as server:
        yield server


@pytest.fixture(autouse=True)
def _client(request, monkeypatch, tmp_path):
    """Let the real client of this process talk to the local server, logged in as the owner."""
    import huggingface_hub
    from huggingface_hub import constants

    for name in [name for name in os.environ if name.startswith(("HF_", "TRANSFORMERS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", OWNER_TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(hub_errors.time, "sleep", lambda seconds: None)
    if "hub" in request.fixturenames:
        server = request.getfixturevalue("hub")
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        new = lambda: huggingface_hub.HfApi(endpoint=server.url)  # noqa: E731
        monkeypatch.setattr(publish_utils, "HfApi", new)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small bundle with two files that count as large."""
    root = tmp_path / "exp" / "model_pack"
    for name, content in LARGE.items():
        write(root / name, content)
    write(root / "conf" / "inference.yaml", {"model": {}})
    write(root / "README.md", "---\ntags: [espnet]\n---\n# digits\n")
    write(root / "scores.json", json.dumps({"m.WER": {"test": {"WER": 2.5}}}))
    bundle.write_meta(
        root,
        bundle.BundleMeta(
            files={"weights": "exp/m/weights.safetensors"},
            yaml_files={"inference_config": "conf/inference.yaml"},
        ),
    )
    bundle.write_manifest(root)
    return root


def system(folder: Path, **upload) -> SimpleNamespace:
    publication = {
        "pack_model": {"out_dir": str(folder)},
        "upload_model": {"hf_repo": NAME, **upload},
    }
    return SimpleNamespace(publication_config=OmegaConf.create(publication))


def upload(folder: Path, **settings) -> None:
    publish_utils.upload_model(system(folder, **settings))


def local_files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*")
            if p.is_file()}  # fmt: skip


def remote_files(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    return hub.repositories[NAME].revisions[revision]


@pytest.mark.parametrize("protocol", ["large file protocol", "streamed commits"])
def test_the_repository_is_made_and_holds_the_bundle(hub, folder, caplog, protocol, monkeypatch):
    if protocol == "streamed commits":
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
        hub.lfs_bytes = float("inf")
    caplog.set_level(logging.DEBUG)
    upload(folder, private=True, tag="v1")
    repository = hub.repositories[NAME]
    assert remote_files(hub) == local_files(folder)
    assert repository.private
    (commit,) = repository.commits
    assert commit["summary"].startswith("Upload exp with espnet3")
    assert "recipe commit: abc123" in commit["description"]
    assert "test: WER 2.5" in commit["description"]
    assert repository.tags == {"v1": f"{1:040x}"}
    receipt = json.loads((folder.parent / "model_pack.upload.json").read_text())
    assert (receipt["repository"], receipt["commit"]) == (NAME, f"{1:040x}")
    assert OWNER_TOKEN not in caplog.text + json.dumps(receipt)


def test_a_second_run_commits_nothing(hub, folder, caplog):
    caplog.set_level(logging.INFO)
    upload(folder)
    before = len(hub.log)
    upload(folder)
    assert len(hub.repositories[NAME].commits) == 1
    assert "up to date" in caplog.text
    assert [r.message for r in caplog.records if r.message.startswith("uploaded:")] == [
        f"uploaded: {hub.url}/{NAME}/commit/{1:040x} commit={1:040x}"
    ]
    assert not [entry for entry in hub.log[before:] if entry[0] != "GET"]


def test_only_what_changed_is_committed(hub, folder):
    upload(folder)
    write_text(folder / "README.md", "# other\n")
    bundle.write_manifest(folder)
    upload(folder)
    assert sorted(hub.repositories[NAME].commits[1]["files"]) == ["README.md", "manifest.json"]
    assert remote_files(hub) == local_files(folder)


def test_a_branch_is_made_and_the_default_one_left_alone(hub, folder):
    upload(folder, revision="v2-dev")
    assert remote_files(hub, "v2-dev") == local_files(folder)
    assert remote_files(hub) == {}
    upload(folder, revision="v2-dev")
    assert len(hub.repositories[NAME].commits) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_pull_request_is_opened_once(hub, folder, streamed, monkeypatch):
    from huggingface_hub import constants

    hub.lfs_bytes = float("inf") if streamed else hub.lfs_bytes
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not streamed)
    upload(folder)
    write_text(folder / "README.md", "# better\n")
    bundle.write_manifest(folder)
    upload(folder, create_pr=True)
    upload(folder, create_pr=True)
    repository = hub.repositories[NAME]
    assert repository.requests == {1: "draft"}
    assert repository.revisions["refs/pr/1"] == local_files(folder)
    assert repository.revisions["main"]["README.md"] != b"# better\n"
    repository.requests[1] = "closed"
    upload(folder, create_pr=True)
    assert repository.requests == {1: "closed", 2: "draft"}


def test_other_files_go_only_when_asked_and_only_from_a_bundle(hub, folder):
    upload(folder)
    remote_files(hub)["old.bin"] = b"old"
    remote_files(hub)[".gitattributes"] = b"keep"
    upload(folder)
    assert "old.bin" in remote_files(hub)
    upload(folder, delete_patterns="*")
    assert "old.bin" not in remote_files(hub)
    assert ".gitattributes" in remote_files(hub)
    remote_files(hub).clear()
    remote_files(hub)["thesis.pdf"] = b"mine"
    with pytest.raises(HubError, match="holds no bundle"):
        upload(folder, delete_patterns=["*"])
    assert "thesis.pdf" in remote_files(hub)
    upload(folder, delete_patterns=["*"], force=True)
    assert remote_files(hub).keys() == local_files(folder).keys()


def test_what_exists_is_refused_without_update(hub, folder):
    upload(folder, update=False)
    with pytest.raises(HubError, match=r"already exists(.|\n)*upload_model\.update: true"):
        upload(folder, update=False)


def test_a_repository_that_somebody_makes_meanwhile_is_refused_without_update(hub, folder):
    hub.hook = lambda method, path: 409 if path.endswith("/repos/create") else None
    with pytest.raises(HubError, match=r"already exists\n  set .*upload_model\.update: true"):
        upload(folder, update=False)
    assert not hub.repositories


def test_a_private_model_never_goes_to_a_public_repository(hub, folder):
    upload(folder)
    with pytest.raises(HubError, match="is public"):
        upload(folder, private=True)


def test_a_tag_that_exists_is_refused_before_anything_is_sent(hub, folder):
    upload(folder, tag="v1")
    write_text(folder / "README.md", "# other\n")
    bundle.write_manifest(folder)
    with pytest.raises(HubError, match="'v1'"):
        upload(folder, tag="v1")
    assert len(hub.repositories[NAME].commits) == 1


def test_a_dry_run_asks_but_changes_nothing(hub, folder, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    upload(folder, dry_run=True)
    assert "would be created" in caplog.text
    assert "exp/m/weights.safetensors (3000 bytes)" in caplog.text
    upload(folder)
    remote_files(hub).pop("README.md")
    remote_files(hub)["old"] = b""
    remote_files(hub)["scores.json"] = b"{}"
    writes = len(hub.writes())
    caplog.clear()
    upload(folder, dry_run=True, delete_patterns="old")
    for line in ("would add README.md", "would change scores.json", "would delete old"):
        assert line in caplog.text
    monkeypatch.delenv("HF_TOKEN")
    upload(folder, dry_run=True)
    assert "unknown: nobody is logged in" in caplog.text
    assert len(hub.writes()) == writes


def test_without_a_login_nothing_is_asked(hub, folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"hf auth login(.|\n)*HF_TOKEN"):
        upload(folder)
    assert not hub.log


def test_offline_nothing_is_asked(hub, folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        upload(folder)
    assert not hub.log


@pytest.mark.parametrize("exists", [False, True])
def test_without_rights_the_message_says_what_to_check(hub, folder, monkeypatch, exists):
    if exists:
        upload(folder)
        write_text(folder / "README.md", "# other\n")
        bundle.write_manifest(folder)
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    sent = len(hub.writes())
    with pytest.raises(HubError) as caught:
        upload(folder)
    for text in ("upload_model.hf_repo", "<user-or-org>/<repo>", "write permission", "private"):
        assert text in str(caught.value)
    assert READ_TOKEN not in str(caught.value) + str(caught.value.__cause__)
    # A repository that exists is asked first; one that does not is asked by making it.
    assert len(hub.writes()) == sent + (not exists)


@pytest.mark.parametrize("status", [429, 503])
def test_failures_that_pass_are_waited_for(hub, folder, status, caplog):
    left = [2]

    def hook(method, path):
        if path.endswith("/repos/create") and left[0]:
            left[0] -= 1
            return status
        return None

    hub.hook, hub.failure_headers = hook, {"Retry-After": "1"}
    upload(folder)
    assert remote_files(hub) == local_files(folder)
    assert caplog.text.count("again in 1 s") == 2


@pytest.mark.parametrize(
    ("status", "place", "advice"),
    [
        (401, "create", "log in again"),
        (402, "create", "wants to be paid"),
        (403, "create", "needs write permission"),
        (403, "/commit/", "needs write permission"),
        (413, "/commit/", "too large"),
        (429, "create", "wait some minutes"),
        (429, "/commit/", "wait some minutes"),
    ],
)
def test_every_refusal_says_what_to_do(hub, folder, status, place, advice):
    hub.hook = lambda method, path: status if method == "POST" and place in path else None
    with pytest.raises(HubError) as caught:
        upload(folder)
    message, _, hint = str(caught.value).partition("\n  ")
    assert NAME in message and advice in hint
    assert len(hub.repositories) == (place != "create")


def test_a_message_of_several_lines_becomes_one_with_its_parts_told_apart():
    error = HubError("it is offline\n  unset the variable:\n\n  now")
    assert hub_errors.clean(error) == "it is offline; unset the variable: now"


def test_failures_that_stay_are_reported_without_signed_addresses(hub, folder):
    hub.hook = lambda method, path: 400 if path.startswith("/lfs/") else None
    with pytest.raises(HubError, match="Failed to upload model pack") as caught:
        upload(folder)
    error: BaseException | None = caught.value
    while error is not None:
        assert "Signature" not in str(error)
        error = error.__cause__


def test_a_commit_that_did_not_arrive_is_noticed(hub, folder, monkeypatch):
    real = publish_utils.HfApi

    def losing():
        client = real()
        send = client.upload_folder

        def upload_folder(**arguments):
            info = send(**arguments)
            remote_files(hub)["README.md"] = b"damaged"
            return info

        client.upload_folder = upload_folder
        return client

    monkeypatch.setattr(publish_utils, "HfApi", losing)
    with pytest.raises(HubError, match=r"does not hold the bundle(.|\n)*README\.md"):
        upload(folder)
    upload(folder, verify=False)


def test_a_killed_upload_goes_on_where_it_stopped(hub, folder, tmp_path):
    stalled, release = threading.Event(), threading.Event()
    sent: list[str] = []

    def hook(method, path):
        if method == "PUT":
            sent.append(path)
            if len(sent) == 2:
                stalled.set()
                release.wait(60)
                return 500
        return None

    hub.hook = hook
    program = f"""
        from types import SimpleNamespace
        from omegaconf import OmegaConf
        from espnet3.utils import publish_utils
        section = {{"pack_model": {{"out_dir": {str(folder)!r}}},
                   "upload_model": {{"hf_repo": {NAME!r}}}}}
        system = SimpleNamespace(publication_config=OmegaConf.create(section))
        publish_utils.upload_model(system)
    """
    script = write(tmp_path / "script.py", textwrap.dedent(program))
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    process = subprocess.Popen([sys.executable, str(script)], env=environment)
    assert stalled.wait(120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    release.set()
    assert hub.repositories[NAME].commits == []
    finished = set(hub.objects)
    hub.hook = lambda method, path: sent.append(path) if method == "PUT" else None
    sent.clear()
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(hub.repositories[NAME].commits) == 1
    assert remote_files(hub) == local_files(folder)
    assert not {path.rpartition("/")[2] for path in sent} & finished
    assert finished


class Site:
    """An uploader of a site's own, which answers no questions."""

    calls: list = []  # noqa: RUF012

    def __getattr__(self, name):
        if name not in ("create_repo", "upload_folder", "create_branch", "create_tag"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


def test_a_client_of_a_site_is_asked_for_no_more_than_it_takes(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(publish_utils, "HfApi", Site)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(Site, "calls", [])
    monkeypatch.chdir(tmp_path)
    upload(Path("exp/model_pack"), private=True, ignore_patterns=["*.tmp"])
    (create, _, created), (send, _, sent) = Site.calls
    assert (create, send) == ("create_repo", "upload_folder")
    assert created == {
        "repo_id": NAME, "repo_type": "model", "private": True, "exist_ok": True
    }  # fmt: skip
    assert sent["folder_path"] == str(folder)
    assert sent["delete_patterns"] is None
    assert sent["ignore_patterns"] == ["*.tmp"]
    assert sent["repo_type"] == "model"
    assert not sent["create_pr"]


def test_a_relative_folder_starts_at_the_recipe(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(publish_utils, "HfApi", Site)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(Site, "calls", [])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    given = system(Path("exp/model_pack"))
    given.publication_config["recipe_dir"] = str(tmp_path)
    publish_utils.upload_model(given)
    assert Site.calls[1][2]["folder_path"] == str(folder)


def test_what_must_be_configured(tmp_path, folder):
    def run(publication, **slots):
        config = None if publication is None else OmegaConf.create(publication)
        publish_utils.upload_model(SimpleNamespace(publication_config=config, **slots))

    for publication, message in (
        (None, "publication_config.upload_model"),
        ({}, "publication_config.upload_model"),
        ({"upload_model": {"hf_repo": ""}}, "publication_config.upload_model.hf_repo"),
    ):
        with pytest.raises(MissingConfigError, match=message):
            run(publication)
    section = {"upload_model": {"hf_repo": NAME}}
    training = OmegaConf.create({"exp_dir": str(tmp_path / "gone")})
    with pytest.raises(BundleError, match=f"Model pack not found: {tmp_path}/gone/model_pack"):
        run(section, training_config=training)
    with pytest.raises(BundleError, match="Model pack not found"):
        run(section)


@pytest.mark.parametrize(
    "name",
    ["your-name/your-model", "yourname/your-model-repo", "your-name/fsdd_asr",
     "digits", "a/b/c", "a//b", "../b", "a/b c", "a/b--c", "a/b.git", "<user>/x"],
)  # fmt: skip
def test_names_of_repositories_are_checked_first(folder, name):
    with pytest.raises(ConfigError, match="hf_repo"):
        upload(folder, hf_repo=name)


def test_a_name_without_an_owner_gets_one_in_the_advice(folder):
    with pytest.raises(
        ConfigError, match="lacks the owner\n  write <user-or-organisation>/digits$"
    ):
        upload(folder, hf_repo="digits")


@pytest.mark.parametrize("key", ["commit_message", "commit_description", "tag", "revision"])
def test_a_token_does_not_become_part_of_a_commit(folder, key):
    with pytest.raises(ConfigError, match=f"{key}: holds a Hugging Face token") as caught:
        upload(folder, **{key: f"by {OWNER_TOKEN}"})
    assert OWNER_TOKEN not in str(caught.value) + str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("card", "is_fine"),
    [
        ('InferenceSession.from_pretrained("ada/digits")', True),
        ("X.from_pretrained(\n    model_tag='hf://ada/digits@v1', device=0)", True),
        ('A.from_pretrained("meta/base")\nB.from_pretrained("ada/digits")', True),
        ("no example", True),
        ('InferenceSession.from_pretrained("model_pack")', False),
        ('InferenceSession.from_pretrained("ada/digits2", trust_user_code=True)', False),
    ],
)
def test_a_card_whose_examples_load_another_model_is_a_warning(folder, card, is_fine, caplog):
    write(folder / "README.md", f"# digits\n{card}\n")
    bundle.write_manifest(folder)
    plan = plan_upload(system(folder))
    check_contents(plan)
    assert ("and goes to ada/digits: pack_model writes" in caplog.text) == (not is_fine)
    assert len(describe_upload(lambda: plan).notes) == 2 - is_fine


@pytest.mark.parametrize("key", ["token", "hf_token", "api_key"])
def test_tokens_do_not_belong_in_a_file(folder, key):
    with pytest.raises(ConfigError, match=r"HF_TOKEN") as caught:
        upload(folder, **{key: OWNER_TOKEN})
    assert OWNER_TOKEN not in str(caught.value)


def test_settings_that_contradict_each_other(folder):
    with pytest.raises(ConfigError, match="create_pr"):
        upload(folder, create_pr=True, revision="x")
    with pytest.raises(ConfigError, match="update: true"):
        upload(folder, update=False, delete_patterns=["*"])


def test_a_folder_that_is_no_bundle_stays_here(tmp_path):
    write(tmp_path / "home" / "diary.txt", "dear diary")
    with pytest.raises(BundleError, match="not a bundle"):
        upload(tmp_path / "home")


def test_what_was_changed_after_packing_is_not_uploaded(folder):
    write(folder / "scores.json", json.dumps({"m.WER": {"test": {"WER": 0.5}}}))
    with pytest.raises(BundleError, match=r"scores\.json is not the file"):
        upload(folder)
    write(folder / "scores.json", "{}")
    with pytest.raises(BundleError, match=r"scores\.json is not the file"):
        upload(folder)


def test_secrets_stay_here(folder, caplog):
    write(folder / "notes.txt", f"login: {OWNER_TOKEN}\n")
    bundle.write_manifest(folder)
    with pytest.raises(BundleError, match=r"notes\.txt:1: Hugging Face token") as caught:
        upload(folder)
    assert OWNER_TOKEN not in str(caught.value)


@pytest.mark.parametrize("name", [".env", "id_rsa", "run.log", "deep/mine.txt", "src/x.ipynb"])
def test_what_was_not_packed_stays_here(hub, folder, name):
    write(folder / name, "mine\n")
    with pytest.raises(BundleError, match=f"was not packed: {name}") as caught:
        upload(folder)
    assert "publication_config.upload_model.ignore_patterns" in str(caught.value)
    assert hub.repositories == {}
    upload(folder, ignore_patterns=[name])
    assert name not in remote_files(hub)


def test_what_programs_leave_in_the_folder_is_not_sent(hub, folder):
    packed = local_files(folder)
    for name in ("src/__pycache__/a.cpython-311.pyc", ".DS_Store", "a/.ipynb_checkpoints/[b].py"):
        write(folder / name, b"x")
    upload(folder)
    assert remote_files(hub) == packed
    upload(folder)
    assert len(hub.repositories[NAME].commits) == 1


def test_a_bundle_without_its_manifest_stays_here(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(BundleError, match="has no manifest.json"):
        upload(folder)


@pytest.mark.parametrize("target", ["..", "/etc/hostname", "nowhere"])
def test_links_that_would_be_lost_are_refused(folder, target):
    (folder / "link").symlink_to(target)
    with pytest.raises(BundleError, match="is a link"):
        upload(folder)


def test_a_pipe_in_the_folder_is_refused(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(BundleError, match="neither file nor folder"):
        upload(folder)


def test_files_of_the_bundle_cannot_be_ignored(folder):
    with pytest.raises(ConfigError, match="pack_model.exclude"):
        upload(folder, ignore_patterns="*.json")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("license: my-own", "license"),
        ("license: other", "license_name"),
        ("language: english!", "language"),
        ("tags: speech", "tags"),
        ("model-index: [{name: x}]", "model-index"),
    ],
)
def test_a_card_that_the_hub_could_not_read_stays_here(folder, block, message):
    write(folder / "README.md", f"---\n{block}\n---\n# x\n")
    bundle.write_manifest(folder)
    with pytest.raises(ConfigError, match=message):
        upload(folder)


def test_the_commit_says_what_was_asked_and_no_program_is_needed(hub, folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    upload(folder, commit_message="New digits", commit_description="trained on more")
    (commit,) = hub.repositories[NAME].commits
    assert (commit["summary"], commit["description"]) == ("New digits", "trained on more")
