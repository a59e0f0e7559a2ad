from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from espnet3.demo import trial
from espnet3.demo.pack import pack_demo, upload_demo
from espnet3.demo.upload import plan_upload_demo
from espnet3.errors import BundleError, ConfigError, HubError, MissingConfigError
from espnet3.utils import publish_utils
from tests.unit.demo.conftest import make_system
from tests.unit.publication.conftest import write
from tests.unit.publication.test_upload import _client, hub  # noqa: F401 - the client of the Hub


class Client:
    """Takes an upload and remembers it."""

    def __init__(self):
        self.calls: list[tuple[str, dict]] = []

    def create_repo(self, **arguments):
        self.calls.append(("create_repo", arguments))

    def upload_folder(self, **arguments):
        folder = Path(arguments["folder_path"])
        files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        self.calls.append(("upload_folder", {**arguments, "files": files}))


@pytest.fixture
def client(monkeypatch) -> Client:
    made = Client()
    monkeypatch.setattr(publish_utils, "HfApi", lambda: made)
    return made


@pytest.fixture
def packed(demo_dir, tmp_path) -> Path:
    return shutil.copytree(demo_dir, tmp_path / "demo")


@pytest.fixture
def tried(monkeypatch) -> list[Path]:
    """Folders that were tried out, instead of doing it."""
    folders: list[Path] = []
    monkeypatch.setattr(trial, "try_out", folders.append)
    return folders


def system(folder: Path, **upload):
    target = {"hf_username": "ada", "repo_name": "digits"}
    config = {"pack": {"out_dir": str(folder)}, "upload_demo": {**target, **upload}}
    return make_system(config)


def test_a_demo_is_tried_out_and_sent_whole(packed, client, tried):
    upload_demo(system(packed))
    assert tried == [packed]
    (_, created), (_, sent) = client.calls
    assert created == {
        "repo_id": "ada/digits", "repo_type": "space", "space_sdk": "gradio",
        "private": None, "exist_ok": True,
    }  # fmt: skip
    assert (sent["repo_id"], sent["repo_type"]) == ("ada/digits", "space")
    assert {"app.py", "demo.yaml", "README.md", "requirements.txt", "model/meta.yaml"} <= sent[
        "files"
    ]


def test_every_file_of_a_listed_folder_is_sent(client, tried, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = {"_target_": "tests.unit.demo.backends.Length"}
    write(tmp_path / "infer.yaml", {"model": model, "input_key": "speech"})
    for name in ("assets/a.txt", "assets/deep/b.bin"):
        write(tmp_path / name, name)
    upload = {"hf_repo": "ada/digits"}
    pack = {"out_dir": "demo", "files": ["assets"]}
    made = {"system": "asr", "infer_config": "infer.yaml", "pack": pack, "upload_demo": upload}
    pack_demo(make_system(made))
    upload_demo(make_system(made))
    assert {"assets/a.txt", "assets/deep/b.bin", "config/infer.yaml"} <= client.calls[1][1]["files"]


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_space_holds_the_demo_and_is_sent_nothing_twice(hub, packed, tried, caplog):  # noqa: F811
    caplog.set_level("INFO")
    upload_demo(system(packed))
    (space,) = hub.repositories.values()
    assert (space.created_by["type"], space.created_by["sdk"]) == ("space", "gradio")
    sent = space.revisions["main"]
    assert sent["app.py"] == (packed / "app.py").read_bytes()
    local = {p.relative_to(packed).as_posix() for p in packed.rglob("*") if p.is_file()}
    assert local <= set(sent)
    commit = space.heads["main"]
    upload_demo(system(packed))
    assert space.heads["main"] == commit and "up to date: ada/digits holds this demo" in caplog.text


def test_what_was_not_packed_stays_here(packed, client, tried):
    write(packed / "src" / "mine.txt", "mine\n")
    with pytest.raises(BundleError, match=r"was not packed: src/mine\.txt"):
        upload_demo(system(packed))
    assert (tried, client.calls) == ([], [])
    upload_demo(system(packed, ignore_patterns="src/mine.txt"))
    assert client.calls[1][1]["ignore_patterns"] == ["src/mine.txt"]


@pytest.mark.parametrize("name", [".env.local", "keys/id_rsa.pub"])
def test_of_a_folder_that_somebody_made_by_hand_private_files_stay_here(
    packed, client, tried, name
):
    (packed / ".demo_manifest.json").unlink()
    write(packed / name, "mine\n")
    with pytest.raises(BundleError, match=f"was not packed: {name}"):
        upload_demo(system(packed))
    assert client.calls == []


def test_what_the_trial_leaves_is_not_sent(packed, client, monkeypatch):
    monkeypatch.setattr(trial, "try_out", lambda root: write(root / "src/__pycache__/a.pyc", b"x"))
    upload_demo(system(packed))
    assert client.calls[1][1]["ignore_patterns"] == ["src/__pycache__/a.pyc"]


def test_who_is_not_logged_in_hears_so_before_the_demo_is_started(packed, tried, monkeypatch):
    monkeypatch.setattr("espnet3.publication.hub_errors.is_offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(HubError, match="nobody is logged in"):
        upload_demo(system(packed))
    assert tried == []


def test_a_demo_that_does_not_answer_is_not_sent(packed, client, monkeypatch):
    def fail(folder):
        raise BundleError("does not answer")

    monkeypatch.setattr(trial, "try_out", fail)
    with pytest.raises(BundleError, match="does not answer"):
        upload_demo(system(packed))
    assert client.calls == []
    upload_demo(system(packed, try_out=False))
    assert len(client.calls) == 2


def test_a_space_gets_what_the_settings_say(packed, client, tried, monkeypatch):
    monkeypatch.setenv("MY_KEY", "hidden")
    settings = {
        "hardware": "t4-small",
        "private": False,
        "variables": {"MODE": "fast"},
        "secrets": ["MY_KEY"],
        "create": {"private": True, "hardware": "cpu-upgrade", "organization": "lab"},
    }
    upload_demo(system(packed, **settings))
    created = client.calls[0][1]
    assert created["repo_id"] == "lab/digits" and created["private"] is True
    assert created["space_hardware"] == "cpu-upgrade"
    assert created["space_secrets"] == [{"key": "MY_KEY", "value": "hidden"}]
    assert created["space_variables"] == [{"key": "MODE", "value": "fast"}]
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(ConfigError, match="is no environment variable"):
        plan_upload_demo(system(packed, **settings))


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_space_that_costs_money_is_refused_with_the_alternatives(hub, packed, tried):  # noqa: F811
    hub.hook = lambda method, path: 402 if path.endswith("/repos/create") else None
    with pytest.raises(
        HubError, match="upload_demo.hardware(.|\n)*organization(.|\n)*espnet3 demo"
    ):
        upload_demo(system(packed))


def test_a_variable_that_holds_a_secret_is_refused(packed, client):
    secret = "hf_" + "a1" * 12
    with pytest.raises(ConfigError, match="TOKEN holds a Hugging Face token") as caught:
        upload_demo(system(packed, variables={"TOKEN": secret}))
    assert secret not in str(caught.value) and client.calls == []


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="upload_demo requires demo_config"):
        upload_demo(make_system(None))
    with pytest.raises(RuntimeError, match=r"upload_demo: must be a section"):
        upload_demo(make_system({"system": "asr"}))
    with pytest.raises(RuntimeError, match="hf_repo, or hf_username and repo_name"):
        upload_demo(make_system({"upload_demo": {"hf_username": "ada"}}))
    with pytest.raises(RuntimeError, match=f"Demo pack not found: {tmp_path / 'demo'}"):
        upload_demo(system(tmp_path / "demo"))
    with pytest.raises(MissingConfigError):
        plan_upload_demo(make_system({"upload_demo": {}}))


@pytest.mark.parametrize(
    ("upload", "message"),
    [
        ({"hf_username": "your-name"}, "placeholder"),
        ({"hf_repo": "no-slash"}, "lacks the owner"),
        ({"token": "hf_x"}, "must not stand in a file"),
        ({"repo_type": "palace"}, "must be one of"),
        ({"hf_user": "ada"}, 'did you mean "hf_username'),
    ],
)
def test_wrong_settings_are_refused(packed, upload, message):
    with pytest.raises(ConfigError, match=message):
        upload_demo(system(packed, **upload))


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("sdk: gradio\n", "sdk: docker\n", "sdk"),
        ("app_file: app.py\n", "app_file: main.py\n", "app_file"),
        ("sdk_version: ", "sdk_version: newest #", "sdk_version"),
    ],
)
def test_a_space_needs_its_fields(packed, client, tried, old, new, field):
    readme = packed / "README.md"
    readme.write_text(readme.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=rf"{field} = .* is not what a Space needs"):
        upload_demo(system(packed))
    assert client.calls == [] and tried == []
    upload_demo(system(packed, repo_type="model"))
    assert client.calls[0][1]["repo_type"] == "model"


def test_secrets_do_not_leave(packed, client, tried):
    write(packed / "app.py", "token = 'hf_" + "a1B2" * 9 + "'\n")
    with pytest.raises(BundleError, match=r"app\.py:1"):
        upload_demo(system(packed))
    assert client.calls == []


def test_linked_folders_are_refused_because_the_hub_would_drop_them(packed, tmp_path):
    (tmp_path / "other").mkdir()
    (packed / "linked").symlink_to(tmp_path / "other")
    with pytest.raises(BundleError, match="is a link to a folder"):
        plan_upload_demo(system(packed))


def test_a_dry_run_starts_and_sends_nothing(packed, client, tried, caplog):
    caplog.set_level("INFO")
    upload_demo(system(packed, dry_run=True))
    assert tried == [] and client.calls == []
    assert "ada/digits" in caplog.text and "app.py" in caplog.text
