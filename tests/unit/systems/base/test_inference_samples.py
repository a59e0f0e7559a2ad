from __future__ import annotations

import pytest

from espnet3.components.inference.settings import PrefetchSettings
from espnet3.systems.base.inference_samples import ReadAhead


class Tensor:
    """Stands in for a tensor, which only a machine with a GPU can pin."""

    is_pinned = False

    def pin_memory(self):
        pinned = Tensor()
        pinned.is_pinned = True
        return pinned


@pytest.mark.parametrize(
    ("asked", "device", "pins"),
    [(None, "cpu", False), (None, "cuda", True), (False, "cuda", False), (True, "cuda", True)],
)
def test_memory_is_pinned_for_cuda_unless_asked_otherwise(asked, device, pins):
    assert PrefetchSettings(pin_memory=asked).pins(device) is pins


def test_only_tensors_that_the_model_gets_are_pinned():
    samples = [{"speech": Tensor(), "other": Tensor(), "text": "a"}, "no mapping"]
    ahead = ReadAhead(samples, ["speech", "text"])
    ahead.load([0, 1])
    assert ahead[0]["speech"].is_pinned
    assert not ahead[0]["other"].is_pinned
    assert ahead[0]["text"] == "a"
    assert ahead[1] == "no mapping"
    assert not samples[0]["speech"].is_pinned


def test_samples_are_read_once_and_forgotten():
    class Counting(list):
        reads = 0

        def __getitem__(self, index):
            Counting.reads += 1
            return super().__getitem__(index)

    ahead = ReadAhead(Counting([{"utt_id": "a"}, {"utt_id": "b"}]))
    ahead.load([0, 1, 2])
    assert [ahead[0], ahead[1]] == ahead.peek([0, 1, 2]) == [{"utt_id": "a"}, {"utt_id": "b"}]
    assert (Counting.reads, len(ahead), ahead.count({"utt_id": "a"})) == (3, 2, 1)
    ahead.forget([0, 1])
    assert ahead.peek([0, 1]) == []
    assert ahead.name(0, "utt_id") == "a"
    assert ahead.name(9, "utt_id") is None
