from __future__ import annotations

import numpy as np
import pytest
import yaml

from espnet3.components.data import audio
from espnet3.components.data.dataset_with_transform import DatasetWithTransform
from espnet3.components.data.fileio import write_shape
from espnet3.components.data.manifest import ManifestRow, UtteranceDataset
from espnet3.systems.base.inference_lengths import fill_gaps, find_lengths, length_of

SIZES = [800, 400, 1200, 500]
IDS = ["a", "b", "c", "d"]


class Plain:
    """Tells ids, but no lengths."""

    def __init__(self, sizes=SIZES):
        self.sizes = sizes
        self.reads = 0

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        self.reads += 1
        return {"utt_id": IDS[index], "speech": np.zeros(self.sizes[index], np.float32)}

    def keys(self):
        return IDS[: len(self.sizes)]


class Telling(Plain):
    def get_length(self, index):
        return 1 + self.sizes[index]


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """A data set of audio files; ``decoded`` counts those that were read whole."""
    rows = []
    for name, size in zip(IDS, SIZES, strict=True):
        path = tmp_path / f"{name}.wav"
        audio.write(path, np.zeros(size, np.float32), 8000)
        rows.append(ManifestRow(name, path, "text"))
    dataset = UtteranceDataset(rows, 8000)
    dataset.decoded = []
    original = UtteranceDataset.__getitem__

    def read(self, index):
        self.decoded.append(index)
        return original(self, index)

    monkeypatch.setattr(UtteranceDataset, "__getitem__", read)
    return dataset


def halve(sample):
    return {**sample, "speech": sample["speech"][::2]}


def test_what_the_data_set_itself_tells_is_believed_without_reading():
    dataset = Telling()
    assert find_lengths(dataset, "speech") == ("get_length of the data set", [801, 401, 1201, 501])
    dataset = Plain()
    dataset.lengths = np.arange(4)
    assert find_lengths(dataset, "speech") == ("lengths of the data set", [0, 1, 2, 3])
    assert dataset.reads == 0


def test_audio_headers_tell_the_lengths_of_a_stock_test_set(recordings):
    test_set = DatasetWithTransform(recordings, None, None)
    assert find_lengths(test_set, "speech").values == SIZES
    # Three samples are proof that no transform changes the length.
    assert recordings.decoded == [0, 1, 3]


@pytest.mark.parametrize(("transform", "key"), [(halve, "speech"), (None, "text")])
def test_headers_do_not_count_where_they_are_wrong(recordings, transform, key):
    assert find_lengths(DatasetWithTransform(recordings, transform, None), key) is None


def test_a_header_that_cannot_be_read_costs_only_its_own_length(recordings):
    recordings.rows[1].wav_path.write_bytes(b"broken")
    found = find_lengths(DatasetWithTransform(recordings, None, None), "speech")
    assert found.values == [800, 1200, 1200, 500]


def test_a_data_set_whose_get_length_always_fails_is_read_instead():
    class Failing(Plain):
        def get_length(self, index):
            raise RuntimeError("no header")

    assert find_lengths(Failing(), "speech") is None


class TestShapeFiles:
    def write(self, folder, sizes=SIZES, ids=IDS, key="speech"):
        config = folder / "training.yaml"
        config.write_text(yaml.safe_dump({"stats_dir": str(folder / "stats")}))
        shapes = {name: (size,) for name, size in zip(ids, sizes, strict=True)}
        write_shape(folder / "stats" / "valid" / f"{key}_shape", shapes)
        return config

    def test_they_count_for_the_same_ids(self, tmp_path):
        config = self.write(tmp_path)
        source, values = find_lengths(Plain(), "speech", config)
        assert values == SIZES
        assert source.endswith("stats/valid/speech_shape")

    @pytest.mark.parametrize(
        "changes",
        [
            {"ids": ["b", "a", "c", "d"]},
            {"ids": IDS[:3], "sizes": SIZES[:3]},
            {"ids": ["0", "1", "2", "3"]},
            {"sizes": [size // 2 for size in SIZES]},
            {"key": "feats"},
        ],
    )
    def test_those_of_other_data_do_not(self, tmp_path, changes):
        assert find_lengths(Plain(), "speech", self.write(tmp_path, **changes)) is None

    def test_a_damaged_one_does_not(self, tmp_path):
        config = self.write(tmp_path)
        (tmp_path / "stats" / "valid" / "speech_shape").write_text("a 1\na 2\n")
        assert find_lengths(Plain(), "speech", config) is None

    def test_without_training_or_statistics_there_are_none(self, tmp_path):
        (tmp_path / "training.yaml").write_text("exp_tag: x\n")
        for name in ("training.yaml", "absent.yaml"):
            assert find_lengths(Plain(), "speech", tmp_path / name) is None


def test_a_field_that_names_an_audio_file_is_as_long_as_the_audio(recordings):
    path = recordings.rows[0].wav_path
    assert length_of(str(path)) == length_of(path) == 800
    assert length_of("not.a.path") == 10
    assert recordings.decoded == []


def test_what_has_no_length_counts_as_long():
    assert fill_gaps([1.0, None, 3.0]) == [1.0, 3.0, 3.0]
    assert fill_gaps([None], 7.0) == [7.0]
