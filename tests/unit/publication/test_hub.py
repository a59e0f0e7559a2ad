from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from espnet3.publication.hub import account_name, is_hub_tag, is_pinned
from tests.unit.publication.conftest import write
from tests.unit.publication.hub_server import running_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

COMMIT = "c" * 40


@pytest.mark.parametrize(
    ("tag", "is_tag"),
    [
        ("owner/name", True),
        ("owner/name@v1.0", True),
        ("hf://owner/name@main", True),
        ("name", False),
        ("./owner/name", False),
        ("../name", False),
        ("/owner/name", False),
        ("a/b/c", False),
        ("https://host/a.zip", False),
    ],
)
def test_hub_tags(tag, is_tag):
    assert is_hub_tag(tag) is is_tag


def test_only_a_commit_pins_a_model():
    assert is_pinned(f"owner/name@{COMMIT}")
    assert not is_pinned("owner/name@v1")
    assert not is_pinned("owner/name")


PROGRAM = """
    import numpy, json, os, sys
    import tests.unit.publication.backends
    from espnet3.errors import Espnet3Error
    from espnet3.publication import InferenceSession
    for tag in sys.argv[1:]:
        os.environ.pop("HF_TOKEN", None)
        try:
            session = InferenceSession.from_pretrained(tag)
            hyp = session(numpy.ones(2, dtype="float32"))["hyp"]
            print(json.dumps([hyp, session.bundle_root.name]))
        except Espnet3Error as error:
            print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture
def load(tmp_path):
    """Load models in another process, whose Hub client begins with an empty cache."""
    script = write(tmp_path / "script.py", textwrap.dedent(PROGRAM))

    def run(hub, *tags, **variables):
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **variables,
        }
        done = subprocess.run([sys.executable, str(script), *tags], capture_output=True, text=True,
                              env=environment, cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_what_was_packed_and_uploaded_is_loaded_by_its_name(recipe, publish, load, tmp_path):
    with running_hub() as hub:
        commit = publish(recipe, hub, "ada/digits", tag="v1")
        first, pinned, gone, lost = load(
            hub, "ada/digits", f"hf://ada/digits@{commit}", "ada/digits@v9", "ada/none"
        )
        assert first == pinned == ["two", commit]
        assert gone[0] == lost[0] == "HubError"
        assert "no revision 'v9'" in gone[1]
        assert "no model ada/none" in lost[1]
        before = {p: p.read_bytes() for p in (tmp_path / "hf").rglob("*") if p.is_file()}
    offline = load(hub, "ada/digits", "ada/digits@v2", HF_HUB_OFFLINE="1")
    assert offline[0] == first
    assert offline[1] == ["HubError", "ada/digits@v2 is not in the cache, and HF_HUB_OFFLINE is "
                          "set\n  fetch it once with the network"]  # fmt: skip
    assert {p: p.read_bytes() for p in before} == before


class Client:
    def __init__(self, answer):
        self.answer = answer

    def whoami(self):
        return self.answer()


@pytest.fixture
def _logged_in(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "t")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("_logged_in")
def test_the_account_name_never_stands_in_the_way():
    def fails():
        raise OSError("no network")

    assert account_name(lambda: Client(lambda: {"name": "ada"})) == "ada"
    assert account_name(lambda: Client(fails)) == ""
    start = time.monotonic()
    assert account_name(lambda: Client(lambda: time.sleep(2)), timeout=0.05) == ""
    assert time.monotonic() - start < 1


def test_without_login_nobody_is_asked(monkeypatch):
    import huggingface_hub

    def never():
        raise AssertionError("asked the Hub")

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert account_name(never) == ""


def test_the_genuine_zoo_serves_only_the_names_in_its_table(monkeypatch):
    from espnet3.publication import downloads

    class ModelDownloader:
        def query(self, key):
            return ["kan-bayashi/known"]

        def download_and_unpack(self, name):
            return {"served": "by the zoo"}

    class OwnDownloader:
        def download_and_unpack(self, name):
            return {"served": "by us"}

    ModelDownloader.__module__ = "espnet_model_zoo.downloader"
    module = SimpleNamespace(ModelDownloader=ModelDownloader)
    monkeypatch.setitem(sys.modules, "espnet_model_zoo", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", module)
    monkeypatch.setattr(downloads, "BundleDownloader", OwnDownloader)
    assert downloads.fetch_artifacts("kan-bayashi/known") == {"served": "by the zoo"}
    assert downloads.fetch_artifacts("https://host/a.zip") == {"served": "by the zoo"}
    assert downloads.fetch_artifacts("ada/digits@v1") == {"served": "by us"}
