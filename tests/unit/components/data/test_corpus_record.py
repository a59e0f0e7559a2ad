from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from espnet3.components.data.corpus_record import CorpusRecord


def make_record(folder: Path, **contents: Any) -> CorpusRecord:
    return CorpusRecord(folder, {"range": (1, 2), **contents}, outputs=["manifest/train.tsv"])


def finish(folder: Path) -> None:
    (folder / "manifest").mkdir()
    (folder / "manifest" / "train.tsv").write_text("x")


def test_complete_only_when_started_and_all_outputs_exist(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    assert not record.is_complete()
    finish(tmp_path)
    assert not record.is_complete()
    record.start()
    assert not record.is_complete()
    (tmp_path / "manifest" / "train.tsv").write_text("x")
    assert record.is_complete()


def test_start_with_the_same_contents_keeps_parts_without_temporary_files(tmp_path: Path) -> None:
    record = make_record(tmp_path)
    record.start(parts=["wav"])
    for name in ("wav/000/a.wav", "wav/.001.partial-x/b.wav", "wav/000/.c.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    finish(tmp_path)
    make_record(tmp_path).start(parts=["wav"])
    assert [path.name for path in (tmp_path / "wav").rglob("*")] == ["000", "a.wav"]
    assert make_record(tmp_path).is_complete()


def test_start_with_other_contents_removes_parts_and_outputs(tmp_path: Path) -> None:
    make_record(tmp_path, seed=1).start(parts=["wav"])
    (tmp_path / "wav").mkdir()
    finish(tmp_path)
    other = make_record(tmp_path, seed=2)
    assert not other.is_current()
    other.start(parts=["wav"])
    assert other.is_current() and not other.is_complete()
    assert not (tmp_path / "wav").exists()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_damaged_note_counts_as_absent(tmp_path: Path, text: str) -> None:
    record = make_record(tmp_path)
    record.path.write_text(text)
    assert not record.is_current()
