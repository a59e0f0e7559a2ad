from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import SimpleNamespace

import dask
import distributed  # its defaults must be there before `dask.config.set`
import pytest
from omegaconf import OmegaConf

from espnet3.errors import ParallelError
from espnet3.parallel.backlog import Backlog
from espnet3.parallel.parallel import get_client, preserve_parallel_config
from espnet3.parallel.restarts import Restarts
from espnet3.parallel.work_pool import WorkPool
from espnet3.parallel.worker_starts import WorkerStarts


@contextlib.contextmanager
def killed_starts(cluster, seconds):
    """Kill for some time each process of a worker as soon as it is there."""
    until, ended = time.monotonic() + seconds, threading.Event()

    def kill():
        while time.monotonic() < until and not ended.wait(0.02):
            for nanny in list(cluster._created):
                if nanny.pid:
                    os.kill(nanny.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def client():
    config = OmegaConf.create({"env": "local", "n_workers": 1})
    soon = {"distributed.deploy.lost-worker-timeout": "0.5s"}
    with preserve_parallel_config(), dask.config.set(soon), get_client(config) as client:
        yield client


def square(client):
    pool = WorkPool(client, num_workers=1)
    work = pool.run(lambda units: [unit**2 for unit in units], Backlog([2, 3], num_workers=1))
    return sorted(value for finished in work for value in finished.take())


def test_a_worker_that_dask_has_given_up_is_started_again(client, caplog):
    first = client.cluster.workers[0]
    with killed_starts(client.cluster, seconds=20):
        deadline = time.monotonic() + 20
        # One that is still closing may come up once more, and do the work.
        while first.status != distributed.Status.closed and time.monotonic() < deadline:
            time.sleep(0.02)
    assert first.status == distributed.Status.closed
    assert square(client) == [4, 9]
    assert "Starting workers again that did not come back: [0]" in caplog.text


def test_a_run_ends_when_no_worker_can_start(client):
    with (
        killed_starts(client.cluster, seconds=60),
        pytest.raises(ParallelError, match="workers died.*\n.*worker 0, which could not start, at"),
    ):
        square(client)


def test_a_cluster_without_a_list_of_its_workers_is_left_alone():
    starts = WorkerStarts(SimpleNamespace(cluster=None), Restarts(num_workers=1))
    starts._looked -= 10
    starts.look()
    assert not starts._is_starting
