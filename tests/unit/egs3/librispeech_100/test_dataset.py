"""Reading LibriSpeech where it lies, from a made-up corpus of its layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from egs3.librispeech_100.asr.dataset import Dataset, DatasetBuilder
from egs3.librispeech_100.asr.dataset.corpus import load_corpus_settings
from egs3.librispeech_100.asr.src.tokenizer import gather_training_text
from espnet3.components.data import audio
from tests.conftest import REPO_ROOT

RECIPE = str(REPO_ROOT / "egs3" / "librispeech_100" / "asr")


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBRISPEECH", raising=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """The folder above ``LibriSpeech``; each split has two utterances and one without audio."""
    for number, split in enumerate(load_corpus_settings().splits):
        folder = tmp_path / "LibriSpeech" / split / "19" / "198"
        folder.mkdir(parents=True)
        lines = [f"19-198-000{i} TEXT {number} {i}" for i in (1, 0, 2)]
        (folder / "19-198.trans.txt").write_text("\n".join(lines) + "\n")
        for i in (0, 1):
            audio.write(folder / f"19-198-000{i}.flac", np.zeros(160 + i, np.int16), 16000)
    return tmp_path


def test_utterances_are_sorted_and_need_audio(corpus: Path) -> None:
    dataset = Dataset("dev-clean", source_dir=str(corpus))
    assert dataset.keys() == ["19-198-0000", "19-198-0001"]
    sample = dataset[1]
    assert (sample["utt_id"], sample["text"]) == ("19-198-0001", "TEXT 1 1")
    assert sample["speech"].dtype == np.float32
    assert sample["speech"].shape == (161,)
    assert dataset.get_length(1) == 161
    assert dataset.content_id() != Dataset("dev-other", source_dir=str(corpus)).content_id()


@pytest.mark.parametrize("below", ["", "LibriSpeech"])
def test_the_corpus_is_found_in_three_places(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    empty = str(tmp_path / "recipe")
    assert len(Dataset("test-other", recipe_dir=empty, source_dir=str(corpus / below))) == 2
    with monkeypatch.context() as patch:
        patch.setenv("LIBRISPEECH", str(corpus / below))
        assert len(Dataset("test-other", recipe_dir=empty)) == 2
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "download").symlink_to(corpus)
    assert len(Dataset("test-other", recipe_dir=str(recipe))) == 2


def test_an_absent_corpus_names_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBRISPEECH", str(tmp_path / "there"))
    arguments = {"recipe_dir": tmp_path / "recipe", "source_dir": tmp_path / "here"}
    builder = DatasetBuilder()
    assert not builder.is_source_prepared(**arguments)
    with pytest.raises(FileNotFoundError) as caught:
        builder.prepare_source(**arguments)
    for place in ("recipe/download", "here", "there", "openslr"):
        assert place in str(caught.value)


def test_missing_splits_are_named(corpus: Path) -> None:
    (corpus / "LibriSpeech" / "test-clean").rename(corpus / "LibriSpeech" / "x")
    with pytest.raises(FileNotFoundError, match="has no test-clean"):
        DatasetBuilder().build(source_dir=corpus)


def test_nothing_is_built(corpus: Path) -> None:
    builder = DatasetBuilder()
    before = sorted(corpus.rglob("*"))
    assert builder.is_source_prepared(source_dir=corpus)
    assert builder.is_built(source_dir=corpus)
    builder.build(source_dir=corpus)
    assert sorted(corpus.rglob("*")) == before


def test_wrong_splits_are_errors(corpus: Path) -> None:
    with pytest.raises(ValueError, match="train-clean-100, dev-clean"):
        Dataset("dev", source_dir=str(corpus))
    for path in (corpus / "LibriSpeech" / "dev-clean").rglob("*.flac"):
        path.unlink()
    with pytest.raises(ValueError, match="no utterance"):
        Dataset("dev-clean", source_dir=str(corpus))


def test_the_tokenizer_gets_the_training_text(corpus: Path) -> None:
    assert gather_training_text(RECIPE, str(corpus)) == ["TEXT 0 0", "TEXT 0 1"]
