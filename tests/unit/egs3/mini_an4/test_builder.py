"""Preparing the AN4 corpus, from a made-up archive of its layout."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from egs3.mini_an4.asr.dataset import Dataset, DatasetBuilder
from egs3.mini_an4.asr.dataset.transcripts import read_transcripts
from egs3.mini_an4.asr.src.tokenizer import gather_training_text
from espnet3.errors import DataError

TRANSCRIPTS = {
    "train": (
        "<s> YES </s> (an251-fash-b)\n"
        "<s> MARCH THIRD </s> (cen8-fbbh-b)\n\n"
        "<s> GO </s> (an253-fash-b)\n"
    ),
    "test": "ELEVEN TWENTY (cen8-fcaw-b)\n",
}
FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}


def make_corpus(folder: Path, transcripts: dict[str, str] = TRANSCRIPTS) -> Path:
    """Write ``an4/{etc,wav}`` with SPHERE audio of 16 kHz."""
    etc = folder / "an4" / "etc"
    etc.mkdir(parents=True)
    (folder / "an4" / "wav").mkdir()
    for split, text in transcripts.items():
        path = etc / f"an4_{split}.transcription"
        path.write_text(text)
        try:
            lines = read_transcripts(path)
        except DataError:
            continue
        for number, line in enumerate(lines):
            audio = folder / "an4" / "wav" / FOLDERS[split] / line.audio
            audio.parent.mkdir(parents=True, exist_ok=True)
            samples = np.full(800 + number, 100 * (number + 1), dtype=np.int16)
            soundfile.write(audio, samples, 16000, format="NIST", subtype="PCM_16")
    return folder


def make_archive(path: Path, corpus: Path, name: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.add(corpus, name)
    return path


@pytest.fixture
def args(tmp_path: Path) -> dict[str, Any]:
    make_archive(tmp_path / "downloads.tar.gz", make_corpus(tmp_path / "corpus"), "downloads")
    return {"recipe_dir": str(tmp_path), "something": "else"}


def test_from_the_archive_to_data_sets(tmp_path: Path, args: dict[str, Any]) -> None:
    builder = DatasetBuilder()
    assert not builder.is_source_prepared(**args)
    builder.prepare_source(**args)
    assert builder.is_source_prepared(**args)
    assert not (tmp_path / "downloads" / "downloads").exists()
    assert not builder.is_built(**args)
    builder.build(**args)
    assert builder.is_built(**args)
    splits = {name: Dataset(name, recipe_dir=str(tmp_path)) for name in ("train", "valid", "test")}
    ids = {name: split.keys() for name, split in splits.items()}
    assert ids == {
        "train": ["fash-an253-b", "fbbh-cen8-b"],
        "valid": ["fash-an251-b"],
        "test": ["fcaw-cen8-b"],
    }
    sample = splits["train"][1]
    assert sample["text"] == "MARCH THIRD"
    assert sample["speech"].shape == (802,)
    assert sample["speech"][0] == np.float32(300 / 32768)
    assert (tmp_path / "data" / "wav" / "train" / "fbbh-cen8-b.wav").is_file()
    assert gather_training_text(str(tmp_path / "data" / "manifest" / "train.tsv")) == [
        "GO",
        "MARCH THIRD",
    ]


def test_the_archive_may_lie_elsewhere_and_hold_the_corpus_itself(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "an4.tar.gz", make_corpus(tmp_path / "c") / "an4", "an4")
    args = {"recipe_dir": tmp_path / "recipe", "archive_path": archive, "data_dir": tmp_path / "d"}
    builder = DatasetBuilder()
    builder.prepare_source(**args)
    builder.build(**args)
    assert len(Dataset("test", data_dir=str(tmp_path / "d"))) == 1


def test_the_archive_is_downloaded_where_an_address_is_given(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "there.tar.gz", make_corpus(tmp_path / "c"), "downloads")
    args = {"recipe_dir": tmp_path / "recipe", "url": archive.as_uri(), "sha256": "0" * 64}
    builder = DatasetBuilder()
    with pytest.raises(DataError, match="0000"):
        builder.prepare_source(**args)
    builder.prepare_source(**{**args, "sha256": None})
    assert (tmp_path / "recipe" / "downloads.tar.gz").is_file()
    assert builder.is_source_prepared(**args)


def test_without_an_archive_the_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"downloads\.tar\.gz.*no such file"):
        DatasetBuilder().prepare_source(recipe_dir=tmp_path)


def test_another_archive_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    archive = make_archive(tmp_path / "x.tar.gz", tmp_path / "x", "x")
    with pytest.raises(DataError, match="no folders an4/etc and an4/wav"):
        DatasetBuilder().prepare_source(recipe_dir=tmp_path, archive_path=archive)
    assert not (tmp_path / "downloads").exists()


def test_build_needs_the_source(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="run create_dataset"):
        DatasetBuilder().build(recipe_dir=tmp_path)


@pytest.mark.parametrize(
    ("train", "message", "error"),
    [
        ("<s> YES </s> an251-fash-b\n", r"train\.transcription:1: .*an251-fash-b", ValueError),
        ("<s> YES </s> (an251-fash)\n", r"transcription:1: ", ValueError),
        ("<s> YES </s> (an251-fash-b)\n", "has 1 training utterances, needs 2", RuntimeError),
    ],
)
def test_a_bad_list_is_an_error(
    tmp_path: Path, train: str, message: str, error: type[Exception]
) -> None:
    make_corpus(tmp_path / "downloads", {**TRANSCRIPTS, "train": train})
    with pytest.raises(error, match=message):
        DatasetBuilder().build(recipe_dir=tmp_path)
    assert not (tmp_path / "data" / "manifest").exists()


def test_unknown_splits_and_absent_data_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train, valid, test"):
        Dataset("dev", recipe_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="create_dataset"):
        Dataset("train", recipe_dir=str(tmp_path))
