from __future__ import annotations

import pytest

from espnet3.components.data.iterators import SequenceIterFactory

DATA = list(range(100))
BATCHES = [(2 * i, 2 * i + 1) for i in range(6)]


def make(**kwargs):
    return SequenceIterFactory(DATA, batches=BATCHES, collate_fn=list, **kwargs)


def test_without_shuffle_batches_come_in_order():
    loader = make().build_iter(3)
    assert len(loader) == 6
    assert list(loader) == [list(batch) for batch in BATCHES]


def test_shuffle_depends_on_seed_and_epoch_only():
    orders = [list(make(shuffle=True, seed=s).build_iter(e)) for s in (0, 10) for e in (0, 1)]
    assert len({str(order) for order in orders}) == 4
    assert list(make(shuffle=True).build_iter(1)) == orders[1]
    assert all(sorted(order) == sorted(map(list, BATCHES)) for order in orders)
    assert list(make(shuffle=True).build_iter(0, shuffle=False)) == list(map(list, BATCHES))


def test_virtual_epochs_leave_nothing_out():
    factory = make(shuffle=True, num_iters_per_epoch=4)
    stream = [batch for epoch in range(3) for batch in factory.build_iter(epoch)]
    assert sorted(stream[:6]) == sorted(stream[6:]) == sorted(map(list, BATCHES))
    assert len(list(make(num_iters_per_epoch=15).build_iter(0))) == 15
    with pytest.raises(AssertionError, match="num_iters_per_epoch"):
        make(num_iters_per_epoch=0)


def test_utterances_can_be_dealt_anew():
    batches = list(make(shuffle=True, shuffle_within_batch=True).build_iter(0))
    assert sorted(key for batch in batches for key in batch) == list(range(12))
    assert sorted(batches) != sorted(map(list, BATCHES))


def test_batches_can_be_generated_per_pass():
    class Generated:
        def generate(self, seed):
            return [[seed]]

    factory = SequenceIterFactory(DATA, batches=Generated(), seed=5, collate_fn=list)
    assert [list(factory.build_iter(epoch)) for epoch in (0, 2)] == [[[5]], [[7]]]
