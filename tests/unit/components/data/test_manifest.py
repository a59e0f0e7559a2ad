from __future__ import annotations

import numpy as np
import pytest

from espnet3.components.data import audio
from espnet3.components.data.manifest import (
    ManifestDataset,
    ManifestRow,
    SplitDataset,
    read_manifest,
    write_manifest,
)
from espnet3.errors import DataError


@pytest.fixture
def manifest(tmp_path):
    rows = []
    for name, size in (("b", 800), ("a", 400)):
        path = tmp_path / "data" / "wav" / f"{name}.wav"
        audio.write(path, np.full(size, 0.25), 8000)
        rows.append(ManifestRow(f"utt-{name}", path, f"text\tof {name}"))
    path = tmp_path / "data" / "manifest" / "train.tsv"
    write_manifest(path, rows)
    return path


def test_paths_are_relative_to_the_data_folder_and_can_move(manifest, tmp_path):
    assert manifest.read_text().splitlines()[0] == "utt-b\twav/b.wav\ttext\tof b"
    (tmp_path / "data").rename(tmp_path / "moved")
    rows = read_manifest(tmp_path / "moved" / "manifest" / "train.tsv")
    assert rows[1] == ("utt-a", tmp_path / "moved" / "wav" / "a.wav", "text\tof a")


def test_absolute_and_recipe_relative_paths_are_read(tmp_path):
    audio.write(tmp_path / "downloads" / "x.wav", np.zeros(1), 8000)
    (tmp_path / "m.tsv").write_text("u\tdownloads/x.wav\t\n\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "m.tsv").rename(tmp_path / "sub" / "m.tsv")
    rows = read_manifest(tmp_path / "sub" / "m.tsv", recipe_dir=tmp_path)
    assert rows == [("u", tmp_path / "downloads" / "x.wav", "")]
    (tmp_path / "sub" / "m.tsv").write_text(f"u\t{tmp_path}/downloads/x.wav\tone\n")
    assert read_manifest(tmp_path / "sub" / "m.tsv")[0].wav_path.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("\n", "is empty"), ("u\tx\n", r"m\.tsv:1: expected"), ("u\tx\t\nu\ty\t\n", "'u' is listed")],
)
def test_bad_manifests(tmp_path, text, message):
    (tmp_path / "m.tsv").write_text(text)
    with pytest.raises(RuntimeError, match=message):
        read_manifest(tmp_path / "m.tsv")


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="tab or line break"):
        write_manifest(tmp_path / "m.tsv", [ManifestRow("u", tmp_path / "x.wav", "a\nb")])
    assert not (tmp_path / "m.tsv").exists()
    with pytest.raises(FileNotFoundError, match="create_dataset"):
        read_manifest(tmp_path / "m.tsv")


def test_dataset_items(manifest):
    data = ManifestDataset(manifest, fs=8000)
    assert len(data) == 2
    assert data.keys() == ["utt-b", "utt-a"]
    assert (data.get_text(0), data.get_length(0)) == ("text\tof b", 800)
    sample = data[1]
    assert (sample["utt_id"], sample["text"]) == ("utt-a", "text\tof a")
    assert (sample["speech"].shape, sample["speech"].dtype) == ((400,), np.float32)


def test_a_wrong_sample_rate_is_refused_or_resampled(manifest):
    with pytest.raises(ValueError, match=r"b\.wav: has 8000 Hz, the recipe expects 16000"):
        ManifestDataset(manifest, fs=16000)[0]
    data = ManifestDataset(manifest, fs=16000, resample=True)
    assert len(data[0]["speech"]) == data.get_length(0) == 1600


def test_several_channels_are_refused(tmp_path):
    audio.write(tmp_path / "x.wav", np.zeros((5, 2)), 8000)
    write_manifest(tmp_path / "m.tsv", [ManifestRow("u", tmp_path / "x.wav", "")])
    with pytest.raises(ValueError, match="has 2 channels"):
        ManifestDataset(tmp_path / "m.tsv")[0]


def test_a_split_that_the_corpus_lacks_is_named_with_those_it_has(manifest, tmp_path):
    splits = {"splits": ("train", "valid"), "fs": 8000}
    assert SplitDataset("train", tmp_path / "data", **splits).keys() == ["utt-b", "utt-a"]
    with pytest.raises(DataError, match=r"no split 'test' \(there are train, valid\)"):
        SplitDataset("test", tmp_path / "data", **splits)
