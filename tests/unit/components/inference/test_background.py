from __future__ import annotations

import threading
import time

import pytest

from espnet3.components.inference.background import map_ahead


def slow(x):
    time.sleep(0.002)
    return x, threading.current_thread() is threading.main_thread()


def test_results_keep_their_order_and_slow_work_moves_to_threads():
    results = list(map_ahead(slow, range(60), num_threads=3, depth=4))
    assert [x for x, _ in results] == list(range(60))
    assert results[0][1]
    assert not results[-1][1]


def test_fast_work_and_no_threads_stay_here():
    here = threading.get_ident()
    fast = map_ahead(lambda x: threading.get_ident(), range(100), num_threads=2, depth=2)
    assert set(fast) == {here}
    assert all(main for _, main in map_ahead(slow, range(20), num_threads=0, depth=2))


def test_at_most_depth_items_are_ahead():
    taken = []

    def items():
        for i in range(40):
            taken.append(i)
            yield i

    for count, _ in enumerate(map_ahead(slow, items(), num_threads=1, depth=3), 1):
        assert len(taken) <= count + 3
    assert taken == list(range(40))


@pytest.mark.parametrize("bad", [2, 30])
def test_an_error_comes_in_its_turn(bad):
    def work(x):
        time.sleep(0.002)
        if x == bad:
            raise ArithmeticError("no")
        return x

    results = map_ahead(work, range(40), num_threads=2, depth=4)
    seen = []

    def take_all():
        for result in results:
            seen.append(result)

    with pytest.raises(ArithmeticError, match="no"):
        take_all()
    assert seen == list(range(bad))
