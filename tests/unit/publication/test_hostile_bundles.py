"""Every kind of hostile bundle in the security guide is refused, and leaves no trace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from espnet3.errors import Espnet3Error
from espnet3.publication import InferenceSession
from tests.unit.publication import backends  # noqa: F401 - the host program's own classes
from tests.unit.publication.hostile_bundles import KINDS, PAGE, render_table, replace_table


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("hostile", KINDS, ids=lambda hostile: hostile.kind)
def test_it_is_refused_without_a_side_effect(hostile, tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    cache = tmp_path / "cache"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ESPNET3_CACHE", str(cache))
    place = hostile.build(tmp_path / "bundle", trace) or str(tmp_path / "bundle")
    before = snapshot(tmp_path)
    path, environment = list(sys.path), dict(os.environ)
    with pytest.raises(Espnet3Error) as caught:
        InferenceSession.from_pretrained(place, verify=True)
    assert not trace.exists()
    error = caught.value
    assert hostile.error in {cls.__name__ for cls in type(error).__mro__}, repr(error)
    assert hostile.says in str(error)
    assert "secret" not in str(error).replace(str(tmp_path), "").replace("../secret", "")
    assert (list(sys.path), dict(os.environ)) == (path, environment)
    after = {p: c for p, c in snapshot(tmp_path).items() if not p.name.endswith(".lock")}
    assert after == before
    assert not [m for m in sys.modules if m.partition(".")[0] in ("src", "antigravity")]


def test_there_are_enough_kinds_and_none_twice():
    assert len({hostile.kind for hostile in KINDS}) == len(KINDS) >= 40


def test_the_guide_lists_them():
    page = PAGE.read_text(encoding="utf-8")
    hint = "write it with: python -m tests.unit.publication.hostile_bundles"
    assert replace_table(page) == page, hint
    assert render_table() in page
