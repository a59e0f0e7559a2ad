"""Every kind of hostile bundle in the security guide is refused, and leaves no trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from espnet3.errors import Espnet3Error
from espnet3.publication import InferenceSession
from tests.conftest import REPO_ROOT
from tests.unit.publication import backends  # noqa: F401 - the host program's own classes
from tests.unit.publication.hostile_bundles import KINDS, Hostile, write
from tests.unit.publication.hostile_guide import PAGE, render_tables, replace_tables
from tests.unit.publication.inert_bundles import INERT, Inert
from tests.unit.publication.side_effects import watched
from tests.unit.publication.test_asr_bundle import digits

__all__ = ["digits"]

OURS = ("src", "antigravity", "sitecustomize", "helper")


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def process_state() -> tuple[object, ...]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    return list(sys.path), environment, Path.cwd()


class Place:
    """A folder with a bundle in it, and what the process looks like before that is loaded."""

    def __init__(self, folder: Path, hostile: Hostile | Inert) -> None:
        self.folder, self.trace = folder, folder / "trace"
        self.bundle, self.cache = folder / "bundle", folder / "cache"
        self.tag = hostile.build(self.bundle, self.trace) or str(self.bundle)
        self.files = snapshot(folder)
        self.process = process_state()

    def check_untouched(self, found: list[str]) -> None:
        assert not found
        assert not self.trace.exists()
        assert process_state() == self.process
        after = {p: c for p, c in snapshot(self.folder).items() if not p.name.endswith(".lock")}
        assert after == self.files
        assert not [m for m in sys.modules if m.partition(".")[0] in OURS]


@pytest.fixture
def place(request, tmp_path, monkeypatch) -> Place:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ESPNET3_CACHE", str(tmp_path / "cache"))
    return Place(tmp_path, request.param)


def name_of(hostile: Hostile | Inert) -> str:
    return hostile.kind


@pytest.mark.parametrize(
    ("hostile", "place"),
    [(kind, kind) for kind in KINDS],
    indirect=["place"],
    ids=map(name_of, KINDS),
)
def test_it_is_refused_without_a_side_effect(hostile, place):
    with watched(place.bundle, place.cache) as found, pytest.raises(Espnet3Error) as caught:
        InferenceSession.from_pretrained(place.tag, verify=True)
    place.check_untouched(found)
    error = caught.value
    assert hostile.error in {cls.__name__ for cls in type(error).__mro__}, repr(error)
    assert hostile.says in str(error)
    assert "secret" not in str(error).replace(str(place.folder), "").replace("../secret", "")


@pytest.mark.parametrize("place", INERT, indirect=True, ids=name_of)
def test_what_is_not_needed_is_never_run(place):
    with watched(place.bundle, place.cache) as found:
        session = InferenceSession.from_pretrained(place.tag)
        session(np.ones(1600, dtype=np.float32))
    place.check_untouched(found)


def test_the_watcher_sees_what_it_should(tmp_path):
    with watched(tmp_path / "bundle", tmp_path / "cache") as found:
        subprocess.run(["true"], check=True)
        write(tmp_path / "bundle" / "src" / "x.py", "y = 1\n")
        code = compile("y = 1", str(tmp_path / "bundle" / "src" / "x.py"), "exec")
        exec(code, {})
        write(tmp_path / "secret.txt", "s").read_text()
        write(tmp_path / "cache" / "fine", "s")
    kinds = {entry.partition(" ")[0] for entry in found}
    assert kinds == {"subprocess.Popen", "writes", "runs", "reads"}
    assert not any("cache" in entry for entry in found)


def test_packages_beside_the_config_are_not_imported_in_notebooks(digits, tmp_path):
    """Where the first entry of ``sys.path`` is the working directory of the moment."""
    root = digits.pack()
    (root / "manifest.json").unlink()
    for name in ("safetensors", "sentencepiece", "soxr", "numpy", "torch", "json"):
        for place in (root, root / "src"):
            write(place / f"{name}.py", f"open({str(tmp_path / 'trace')!r}, 'w')\n")
    program = (
        "import sys, numpy; from espnet3.publication import InferenceSession\n"
        f"assert sys.path[0] == ''; session = InferenceSession.from_pretrained({str(root)!r})\n"
        "session(numpy.ones(1600, dtype='float32')); assert sys.path[0] == ''\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO_ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          cwd=tmp_path, env=environment)  # fmt: skip
    assert not (tmp_path / "trace").exists()
    assert done.returncode == 0, done.stderr


def test_there_are_enough_kinds_and_none_twice():
    assert len({hostile.kind for hostile in KINDS}) == len(KINDS) >= 40


def test_the_guide_lists_them():
    page = PAGE.read_text(encoding="utf-8")
    hint = "write it with: python -m tests.unit.publication.hostile_guide"
    assert replace_tables(page) == page, hint
    assert all(table in page for table in render_tables())
