"""What the driver holds while it decodes does not grow with the test set."""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from espnet3.systems.base.inference_writer import WrittenSample
from tests.unit.systems.base.toy_inference import execution, hyps

COUNT = 20_000
EVERY = 5_000
alive: Counter[str] = Counter()
written: list[int] = []


class Text(str):
    """A long output that is counted while it exists."""

    __slots__ = ()

    def __new__(cls, text):
        alive["outputs"] += 1
        alive["most"] = max(alive["most"], alive["outputs"])
        return super().__new__(cls, text)

    def __del__(self):
        alive["outputs"] -= 1


def build_long(data, model_output, idx):
    if idx % EVERY == EVERY - 1:
        written.append(sum(type(thing) is WrittenSample for thing in gc.get_objects()))
    return {"utt_id": data["utt_id"], "hyp": Text(str(idx % 10) * 1000)}


@pytest.fixture(autouse=True)
def nothing_yet():
    alive.clear()
    written.clear()


def test_outputs_and_lines_of_a_large_test_set_are_never_in_memory_together(run):
    folder = run(
        ids=[f"u{i}" for i in range(COUNT)],
        output_fn=f"{__name__}.build_long",
        **execution(progress="none"),
    )
    assert len(hyps(folder)) == COUNT
    assert alive["outputs"] == 0
    # Batches go through the engine in groups of at most 256, a few of which wait for the disk.
    assert 0 < alive["most"] <= 10 * 256
    assert len(written) == COUNT // EVERY
    assert max(written) <= 10 * 256
