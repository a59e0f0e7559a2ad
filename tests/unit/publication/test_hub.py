from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from espnet3.publication.hub import account_name, is_hub_tag, is_pinned
from tests.unit.publication.conftest import write

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


class Hub(http.server.BaseHTTPRequestHandler):
    """The requests that fetching a snapshot takes."""

    folder: Path

    def do_GET(self):
        self.answer(with_body=True)

    def do_HEAD(self):
        self.answer(with_body=False)

    def answer(self, *, with_body):
        head = {"X-Repo-Commit": COMMIT}
        if self.path.startswith("/api/models/ada/digits/revision/"):
            names = [p for p in self.folder.rglob("*") if p.is_file()]
            siblings = [{"rfilename": p.relative_to(self.folder).as_posix()} for p in names]
            body = json.dumps({"id": "ada/digits", "sha": COMMIT, "siblings": siblings}).encode()
        elif self.path.startswith(f"/api/models/ada/digits/tree/{COMMIT}"):
            entries = [
                {
                    "type": "file",
                    "path": p.relative_to(self.folder).as_posix(),
                    "size": p.stat().st_size,
                    "oid": hashlib.sha1(p.read_bytes()).hexdigest(),
                }
                for p in self.folder.rglob("*")
                if p.is_file()
            ]
            body = json.dumps(entries).encode()
        elif self.path.startswith(f"/ada/digits/resolve/{COMMIT}/"):
            body = (self.folder / self.path.split(f"{COMMIT}/")[1].partition("?")[0]).read_bytes()
            head["ETag"] = f'"{hashlib.sha256(body).hexdigest()}"'
        else:
            self.send_error(404)
            return
        self.send_response(200)
        for name, value in {**head, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *details):
        """Keep quiet."""


@pytest.fixture
def hub(recipe):
    handler = type("Handler", (Hub,), {"folder": recipe.pack()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_from_a_hub_and_then_from_the_cache(hub, tmp_path):
    program = """
        import numpy, os, sys
        import tests.unit.publication.backends
        from espnet3.publication import InferenceSession
        session = InferenceSession.from_pretrained("ada/digits")
        print(session(numpy.ones(2, dtype="float32"))["hyp"], session.bundle_root.name)
    """
    script = write(tmp_path / "script.py", textwrap.dedent(program))
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "HF_ENDPOINT": hub,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    for offline in ({}, {"HF_HUB_OFFLINE": "1"}):
        done = subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            text=True,
            env=environment | offline,
        )
        assert done.stdout.split() == ["two", COMMIT], done.stderr


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
