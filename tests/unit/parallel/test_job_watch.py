from __future__ import annotations

import collections
from types import SimpleNamespace

import pytest

from espnet3.errors import ParallelError
from espnet3.parallel import job_watch
from espnet3.parallel.job_watch import JobWatch

Job = collections.namedtuple("Job", "refusal")


class Cluster:
    """Two jobs with two workers each; records what it is asked for."""

    job_cls = object

    def __init__(self):
        self.worker_spec = {"batch-0": {}, "batch-1": {}}
        self.workers = {}
        self.down, self.up = [], []
        self.let_live("batch-0-0", "batch-0-1", "batch-1-0")

    def let_live(self, *names):
        self.scheduler_info = {"workers": {name: {"name": name} for name in names}}

    def job_script(self):
        return "#SBATCH -J x\nexport HUB_TOKEN=abc"

    def sync(self, function, *args):
        function(*args)

    def scale_down(self, jobs):
        self.down += jobs

    def scale(self, count):
        self.up.append(count)


@pytest.fixture
def look(monkeypatch):
    """A watch and the clock that it looks at."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(job_watch, "time", SimpleNamespace(monotonic=lambda: clock.now))
    cluster = Cluster()
    watch = JobWatch(SimpleNamespace(cluster=cluster), num_workers=4)

    def at(seconds, *names):
        clock.now = seconds
        cluster.let_live(*names)
        watch.look()
        return cluster.down

    return SimpleNamespace(at=at, cluster=cluster, watch=watch)


def test_a_job_is_replaced_when_all_its_workers_are_gone_for_a_while(look):
    assert look.at(2, "batch-0-0", "batch-1-0") == []
    assert look.at(10, "batch-0-0") == []
    assert look.at(16, "batch-0-1") == []
    assert look.at(20, "batch-0-1") == ["batch-1"]
    assert look.cluster.up == [4]


def test_a_job_that_waits_in_the_queue_is_left_alone(look):
    assert look.at(2, "batch-0-0") == []
    assert look.at(1000, "batch-0-0") == []


def test_a_worker_that_died_between_two_looks_was_there(look):
    look.watch.note("batch-0-1", has_worked=False)
    assert look.at(2) == []
    assert look.at(18) == ["batch-0"]


def test_replacing_ends_when_no_work_is_done(look):
    for turn in range(20):
        look.at(100 * turn + 2, "batch-0-0")
        look.at(100 * turn + 50)
    assert len(look.cluster.down) == 12
    look.watch.note("batch-0-1", has_worked=True)
    look.at(3000, "batch-0-0")
    assert len(look.at(3050)) == 13


def test_refused_jobs_end_the_run_only_if_no_other_works(look, caplog):
    look.cluster.workers = {"batch-0": Job(None), "batch-1": Job("sbatch refused it: limit")}
    look.at(2, "batch-0-0")
    look.at(4, "batch-0-0")
    (record,) = caplog.records
    assert "of 2 job(s) 1 were not taken: sbatch refused it: limit" in record.message
    look.cluster.workers["batch-0"] = Job("sbatch refused it: limit")
    look.at(6, "batch-0-0")
    with pytest.raises(ParallelError, match=r"^sbatch refused it(.|\n)*HUB_TOKEN=\*\*\*"):
        look.at(8)


def test_clusters_without_jobs_are_not_watched():
    JobWatch(SimpleNamespace(cluster=SimpleNamespace()), num_workers=1).look()
