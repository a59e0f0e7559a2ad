from __future__ import annotations

import pytest

from espnet3.errors import ParallelError
from espnet3.parallel import restarts as module
from espnet3.parallel.restarts import Restarts


def lose(restarts, count, start=0):
    for number in range(start, start + count):
        restarts.note(f"tcp://10.0.0.1:{number}", f"w{number} (SIGKILL)")


@pytest.mark.parametrize("num_workers", [1, 4])
def test_each_worker_is_replaced_three_times(num_workers):
    restarts = Restarts(num_workers=num_workers)
    lose(restarts, 3 * num_workers)
    restarts.check(logs="here")
    lose(restarts, 1, start=100)
    with pytest.raises(ParallelError) as caught:
        restarts.check(logs="logs/slurm")
    message = str(caught.value)
    assert "w100 (SIGKILL) at " in message
    assert f"w{3 * num_workers - 1} (SIGKILL)" in message
    assert "logs: logs/slurm" in message


def test_a_worker_dies_once():
    restarts = Restarts(num_workers=1)
    for _ in range(9):
        lose(restarts, 1)
    restarts.check(logs="")


def test_one_unit_may_have_the_workers_that_it_takes_to_know_it():
    restarts = Restarts(num_workers=1, least=5)
    lose(restarts, 5)
    restarts.check(logs="")


def test_deaths_are_explained_only_by_work_that_differs_from_other_work():
    restarts = Restarts(num_workers=1)
    lose(restarts, 4)
    restarts.explain(["tcp://10.0.0.1:0"])
    with pytest.raises(ParallelError):
        restarts.check(logs="")
    restarts.finished()
    restarts.explain(["tcp://10.0.0.1:0"])
    restarts.check(logs="")
    lose(restarts, 1)  # the same worker, reported by another piece that it had
    restarts.check(logs="")


def test_where_workers_leave_with_their_time_finished_work_makes_up_for_it():
    restarts = Restarts(num_workers=1, forgets=True)
    for number in range(20):
        lose(restarts, 1, start=number)
        restarts.check(logs="")
        restarts.finished()


def test_pauses_grow_up_to_a_limit_and_end(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    restarts = Restarts(num_workers=100)
    lose(restarts, 12)
    assert restarts.num_resting == 12
    pauses = sorted(restarts._rests)
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == 10.0
    now[0] = 0.3
    assert restarts.num_resting == 10
    now[0] = 10.1
    assert restarts.num_resting == 0


def test_a_signal_to_stop_ends_a_pause():
    restarts = Restarts(num_workers=1)
    lose(restarts, 9)
    restarts.wait(lambda: True)
    assert restarts.num_resting == 1
