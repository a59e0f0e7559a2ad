from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.inference.batching import Batch
from espnet3.components.inference.groups import Groups


@given(st.lists(st.floats(1e-6, 1.0), max_size=60))
def test_all_batches_come_once_and_in_order_whatever_they_take(seconds):
    batches = [Batch((i,)) for i in range(len(seconds))]
    groups = Groups(batches)
    seen = []
    for group in groups:
        seen += group.batches
        group.seconds = sum(seconds[batch.indices[0]] for batch in group.batches)
        groups.record(group)
    assert seen == batches


def test_quick_batches_share_a_group_and_slow_ones_do_not():
    groups = Groups(Batch((i,)) for i in range(2000))
    sizes = []
    for group in groups:
        sizes.append(len(group))
        group.seconds = 1e-5 * len(group) if len(sizes) < 8 else 0.1 * len(group)
        groups.record(group)
    assert max(sizes) == 256
    assert sizes[10:] == [1] * len(sizes[10:])
