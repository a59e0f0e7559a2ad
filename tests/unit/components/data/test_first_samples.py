from __future__ import annotations

import pickle

import pytest

from espnet3.components.data.dataset import CombinedDataset
from espnet3.components.data.first_samples import FirstSamples
from espnet3.errors import SettingError


class Keyed:
    def __init__(self, names=("a", "b", "c")):
        self.names = names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return {"utt_id": self.names[index]}

    def keys(self):
        return self.names

    def get_text(self, index):
        return f"text {index}"

    def shard(self, idx):
        return Keyed(self.names[idx:])


def test_only_the_beginning_can_be_read():
    data = FirstSamples(Keyed(), 2)
    assert (len(data), [data[i]["utt_id"] for i in range(-2, 2)]) == (2, ["a", "b", "a", "b"])
    assert list(data.keys()) == ["a", "b"]
    for index in (2, -3):
        with pytest.raises(IndexError):
            data[index]
    assert len(FirstSamples(Keyed(), 9)) == 3


def test_everything_else_is_as_the_data_set_has_it():
    data = FirstSamples(Keyed(), 2)
    assert data.get_text(1) == "text 1"
    assert [len(data.shard(idx)) for idx in (0, 2)] == [2, 1]
    assert not hasattr(FirstSamples([1], 1), "keys")
    assert len(pickle.loads(pickle.dumps(data))) == 2


def test_it_can_be_part_of_a_combined_data_set():
    data = CombinedDataset([FirstSamples(Keyed(), 2)], [(None, None)], uid_key="utt_id")
    assert [data.uid(i) for i in range(len(data))] == ["a", "b"]


def test_no_samples_at_all_is_a_mistake():
    with pytest.raises(SettingError, match="max_utterances"):
        FirstSamples([1], 0)
