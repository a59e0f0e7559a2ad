from __future__ import annotations

import queue
import time
from types import SimpleNamespace

import pytest

from espnet3.errors import ParallelError
from espnet3.parallel.backlog import Backlog
from espnet3.parallel.work_pieces import Piece
from espnet3.parallel.work_pool import WorkPool

NO_JOBS = SimpleNamespace(cluster=None)
"""A client that has no cluster of its own."""


def death(number):
    return SimpleNamespace(last_worker=SimpleNamespace(name="w", address=f"tcp://{number}"))


def test_a_worker_that_had_several_pieces_dies_once(caplog):
    pool = WorkPool(NO_JOBS, num_workers=2)
    for number in (1, 1, 2):
        pool._bury(Piece([7]), death(number), has_begun=True)
    assert pool._restarts.total == 2
    assert caplog.text.count("Worker w died") == 2
    assert len(pool._retries) == 3


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_say_how_many_more_workers_a_lone_unit_may_kill(retries):
    pool = WorkPool(NO_JOBS, num_workers=2, retries=retries)
    piece = Piece([7], is_alone=True)
    for number in range(retries):
        assert pool._bury(piece, death(number), has_begun=True) == []
    (lost,) = pool._bury(piece, death(retries), has_begun=True)
    assert (lost.units, lost.is_lost, pool._restarts.total) == ([7], True, retries + 1)


def test_work_that_only_waited_on_dead_workers_is_no_suspect_for_a_while():
    pool = WorkPool(NO_JOBS, num_workers=4)
    piece = Piece([1, 2])
    for number in range(10):
        pool._bury(piece, death(number), has_begun=False)
        assert pool._retries.pop(0) is piece
    assert (piece.deaths, pool._suspects) == (0, [])
    # Whoever has not heard of its begin must not wait for ever.
    for number in range(10, 12):
        pool._bury(piece, death(number), has_begun=False)
    assert [suspect.units for suspect in pool._suspects] == [[1], [2]]


def test_nothing_is_handed_out_after_the_signal_to_stop():
    pool = WorkPool(NO_JOBS, num_workers=2, must_stop=lambda: True)
    pool._retries.append(Piece([1]))
    pool._feed(print, None)
    assert pool._flying == {}


def test_a_run_ends_when_more_workers_died_than_it_replaces():
    pool = WorkPool(NO_JOBS, num_workers=2)
    for number in range(6):
        pool._bury(Piece([number]), death(number), has_begun=False)
    with pytest.raises(ParallelError, match=r"7 workers died, more than the 6 .*n_workers: 2"):
        pool._bury(Piece([7]), death(7), has_begun=False)


def test_pools_of_one_run_count_together():
    restarts = WorkPool.count_restarts(NO_JOBS, num_workers=2, retries=1)
    pools = [WorkPool(NO_JOBS, num_workers=2, restarts=restarts) for _ in range(2)]
    for number in range(6):
        pools[number % 2]._bury(Piece([number]), death(number), has_begun=False)
    with pytest.raises(ParallelError, match="7 workers died"):
        pools[0]._bury(Piece([7]), death(7), has_begun=False)
    assert restarts.total == 7


def test_workers_that_died_of_known_work_are_not_counted_once_other_work_succeeds():
    pool = WorkPool(NO_JOBS, num_workers=2)
    for culprit in range(9):
        pool._restarts.finished()
        piece = Piece([culprit])
        for number in range(2):
            pool._bury(piece, death(10 * culprit + number), has_begun=True)
        alone = pool._suspects.pop()
        for number in range(2, 4):
            lost = pool._bury(alone, death(10 * culprit + number), has_begun=True)
        assert lost[0].is_lost
        assert lost[0].is_retried


def test_work_waits_a_little_for_the_worker_that_replaces_a_dead_one():
    pool = WorkPool(NO_JOBS, num_workers=1)
    pool._submit = lambda func, piece: pool._flying.setdefault(len(pool._flying), (None, piece))
    for number in range(3):  # the third pause is 0.4 s
        pool._bury(Piece([1]), death(number), has_begun=False)
    started = time.monotonic()
    pool._feed(print, Backlog([], num_workers=1))
    assert 0.3 < time.monotonic() - started < 5
    assert len(pool._flying) == 2


def test_the_wait_for_workers_begins_when_the_last_result_came(monkeypatch):
    # Quick results leave no time to look for workers, for hours perhaps.
    client = SimpleNamespace(cluster=None, nthreads=dict)
    pool = WorkPool(client, num_workers=1, start_timeout=600.0)
    pool._seen_worker -= 3600
    future = SimpleNamespace(key="k")
    pool._flying["k"] = (future, Piece([1]))
    looks = []

    def get(timeout):
        if not looks:
            looks.append(timeout)
            raise queue.Empty
        return future

    monkeypatch.setattr(pool, "_done", SimpleNamespace(get=get))
    assert pool._wait()[0] is future
    assert looks
