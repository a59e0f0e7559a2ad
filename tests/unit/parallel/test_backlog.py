from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from espnet3.parallel.backlog import Backlog


@given(
    count=st.integers(0, 3000),
    workers=st.integers(1, 8),
    speeds=st.lists(st.floats(1e-7, 10), min_size=1, max_size=5),
)
def test_every_unit_is_handed_out_once_in_order(count, workers, speeds):
    backlog = Backlog(range(count), num_workers=workers)
    taken, turn = [], 0
    while piece := backlog.take():
        backlog.record(count=len(piece), seconds=speeds[turn % len(speeds)] * len(piece))
        taken += piece
        turn += 1
    assert taken == list(range(count))
    assert len(backlog) == 0


def test_fast_work_goes_in_large_pieces_and_slow_work_one_by_one():
    fast, slow = (Backlog(range(100_000), num_workers=2) for _ in range(2))
    for backlog, unit_sec in ((fast, 1e-5), (slow, 5.0)):
        for _ in range(8):
            piece = backlog.take()
            backlog.record(count=len(piece), seconds=unit_sec * len(piece))
    assert len(fast.take()) == 4096
    assert len(slow.take()) == 1


def test_the_last_pieces_are_small_so_that_workers_end_together():
    backlog = Backlog(range(64), num_workers=2)
    backlog.record(count=1000, seconds=1e-3)
    sizes = []
    while piece := backlog.take():
        sizes.append(len(piece))
    assert sizes[0] == 16
    assert sizes[-1] == 1
