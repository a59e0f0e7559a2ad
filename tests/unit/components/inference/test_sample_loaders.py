from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from espnet3.components.inference.sample_loaders import SampleLoaders
from espnet3.components.inference.settings import PrefetchSettings
from espnet3.errors import InferenceError

ROOT = Path(__file__).parents[4]


class Elsewhere:
    """Can be pickled, but not unpickled in this process."""

    def __reduce__(self):
        return _refuse, (os.getpid(),)


def _refuse(pid):
    if pid != os.getpid():
        raise AttributeError("no such class here")


class Samples:
    """Tells in which process a sample was read; some cannot be."""

    def __init__(self, folder=None):
        self.folder = folder

    def __getitem__(self, index):
        if index == 3:
            raise ArithmeticError("too hard")
        if index == 4:
            return {"lock": threading.Lock()}
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 6 and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 8:
            return {"speech": np.zeros(3), "alien": Elsewhere()}
        if index == 7:
            print("noise on standard output", flush=True)
        return {"speech": np.full(100_000, index, np.float32), "pid": os.getpid()}


class Unbuildable:
    def __reduce__(self):
        return _fail, ()


def _fail():
    raise ImportError("no module named corpus")


@pytest.fixture
def loaders(tmp_path):
    made = SampleLoaders(Samples(tmp_path), 2)
    yield made
    made.close()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_samples_come_in_order_from_another_process(loaders):
    answers = loaders.read([2, 0, 7, 1])
    assert [int(sample["speech"][-1]) for sample, _ in answers] == [2, 0, 7, 1]
    assert os.getpid() not in {sample["pid"] for sample, _ in answers}


def test_an_error_belongs_to_its_sample_and_has_its_traceback(loaders):
    (_, error), (good, none) = loaders.read([3, 1])
    assert isinstance(error, ArithmeticError)
    assert 'raise ArithmeticError("too hard")' in error.__notes__[0]
    assert good["speech"][0] == 1
    assert none is None


def test_a_sample_that_cannot_travel_is_an_error_of_this_sample(loaders):
    (_, error), (good, _) = loaders.read([4, 1])
    assert "pickle" in str(error)
    assert good["speech"][0] == 1


def test_a_sample_that_cannot_be_unpickled_here_leaves_the_others_in_their_places(loaders):
    for _ in range(3):
        first, (sample, error), last = loaders.read([1, 8, 2])
        assert sample is None
        assert "no such class here" in str(error)
        assert [int(answer[0]["speech"][0]) for answer in (first, last)] == [1, 2]


def test_a_sample_that_kills_its_process_twice_is_named_and_the_others_are_read(loaders):
    answers = loaders.read([1, 5, 2])
    assert [error is None for _, error in answers] == [True, False, True]
    assert "reading item 5, the last with SIGKILL" in str(answers[1][1])


def test_a_process_that_is_killed_once_costs_nothing(loaders):
    assert [error for _, error in loaders.read([1, 6, 2])] == [None] * 3


def test_several_threads_use_several_processes(loaders):
    loaders.read([0])
    pids = {}
    threads = [
        threading.Thread(target=lambda n=n: pids.update({n: loaders.read([n])[0][0]["pid"]}))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(pids) == 3
    assert len({*pids.values()} | {loaders.read([0])[0][0]["pid"] for _ in range(2)}) == 2


def test_a_data_set_that_another_process_cannot_build_ends_the_work():
    loaders = SampleLoaders(Unbuildable(), 1)
    with pytest.raises(InferenceError, match=r"execution\.prefetch\.mode") as caught:
        loaders.read([0])
    assert "no module named corpus" in str(caught.value.__cause__)
    # Another thread may come to the same process before the error ends the work.
    with pytest.raises(InferenceError, match="could not start"):
        loaders.read([0])
    loaders.close()


def test_a_data_set_that_cannot_be_pickled_is_refused_with_the_key():
    with pytest.raises(ValueError, match=r"execution\.prefetch\.mode.*'process'|pickled"):
        SampleLoaders(threading.Lock(), 1)


def test_closing_ends_the_processes_and_no_new_ones_start(loaders):
    pid = loaders.read([0])[0][0]["pid"]
    loaders.close()
    assert not is_alive(pid)
    with pytest.raises(InferenceError, match="ended|could not start"):
        loaders.read([0])


DRIVER = """
import os, sys, time
from espnet3.components.inference.sample_loaders import SampleLoaders
class Slow:
    def __getitem__(self, index):
        if index:
            time.sleep(600)
        return os.getpid()
if __name__ == "__main__":
    loaders = SampleLoaders(Slow(), 1)
    print(loaders.read([0])[0][0], flush=True)
    loaders.read([1])
"""


def test_they_end_with_a_driver_that_is_killed_even_while_they_read(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    )
    with driver:
        pid = int(driver.stdout.readline())
        assert is_alive(pid)
        driver.kill()
    wait_until(lambda: not is_alive(pid))


def test_processes_need_to_be_at_least_one():
    assert PrefetchSettings(mode="process", num_workers=3).num_processes == 3
    assert PrefetchSettings(num_workers=3).num_processes == 0
    with pytest.raises(ValueError, match="num_workers"):
        PrefetchSettings(mode="process", num_workers=0)
