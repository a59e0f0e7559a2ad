"""SLURM by stand-ins of its commands that really run the submitted script."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.errors import ParallelError
from espnet3.parallel.base_runner import BaseRunner, collect_async_results
from espnet3.parallel.env_provider import EnvironmentProvider
from espnet3.parallel.parallel import get_client, parallel_map, set_parallel

pytest.importorskip("dask_jobqueue")

ROOT = Path(__file__).parents[3]
SBATCH = """#!/bin/sh
echo "$1" >> {folder}/submitted
cp "$1" {folder}/job-$$.sh
if [ -e {folder}/stuck ]; then echo "Submitted batch job $$"; exit 0; fi
setsid sh {folder}/job-$$.sh > {folder}/job-$$.log 2>&1 < /dev/null &
echo $! > {folder}/job-$$.pid
echo "Submitted batch job $$"
"""
SCANCEL = """#!/bin/sh
if [ -e {folder}/job-$1.pid ]; then kill -9 -- -$(cat {folder}/job-$1.pid) 2>/dev/null; fi
exit 0
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Put stand-ins for `sbatch` and `scancel` on the path; return their folder."""
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        path = tmp_path / name
        path.write_text(text.format(folder=tmp_path))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def block(n_workers, folder, **more):
    options = {
        "cores": 1,
        "processes": 1,
        "memory": "1GB",
        "walltime": 1800,
        "interface": "lo",
        "log_directory": str(folder / "logs"),
        "local_directory": str(folder / "local"),
    }
    return OmegaConf.create({"env": "slurm", "n_workers": n_workers, "options": options, **more})


class Provider(EnvironmentProvider):
    """Its words come from the configuration, the parameter from `params`."""

    def __init__(self, config, params=None):
        super().__init__(config)
        self.params = dict(params or {})

    def build_env_local(self):
        return self.build_worker_setup_fn()()

    def build_worker_setup_fn(self):
        words, params = list(self.config.words), dict(self.params)
        return lambda: {"dataset": words, **params}


class Shout(BaseRunner):
    @staticmethod
    def forward(idx, dataset, **env):
        if env.get("as_object"):
            return {"word": dataset[idx], "object": {1, 2}}
        return dataset[idx].upper() + env["mark"]


def wait(jobs, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return collect_async_results(jobs)
        except ParallelError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("env", ["local", "slurm"])
@pytest.mark.parametrize("n_workers", [2, 3])
def test_detached_jobs_leave_one_line_per_item(slurm, tmp_path, env, n_workers):
    config = block(n_workers, tmp_path) if env == "slurm" else {"env": env, "n_workers": n_workers}
    set_parallel(OmegaConf.create(config))
    provider = Provider(OmegaConf.create({"words": list("größe")}), params={"mark": "!"})
    runner = Shout(
        provider,
        async_mode=True,
        async_specs_dir=tmp_path / "specs",
        async_result_dir=tmp_path / "results",
    )
    jobs = runner(range(5))
    assert len(jobs) == n_workers
    assert wait(jobs) == ["G!", "R!", "Ö!", "SS!", "E!"]
    specs = [json.loads(Path(job["spec"]).read_text()) for job in jobs]
    assert [spec["world_rank"] for spec in specs] == list(range(n_workers))
    sizes = [len(spec["indices"]) for spec in specs]
    assert sizes == sorted(sizes, reverse=True)
    assert stat.S_IMODE(Path(jobs[0]["spec"]).stat().st_mode) == 0o600
    if env == "slurm":
        assert len((slurm / "submitted").read_text().splitlines()) == n_workers


def test_results_of_jobs_that_are_missing_are_named(tmp_path):
    set_parallel(OmegaConf.create({"env": "local", "n_workers": 1}))
    provider = Provider(OmegaConf.create({"words": ["a"]}), params={"as_object": True})
    runner = Shout(
        provider, async_mode=True, async_specs_dir=tmp_path, async_result_dir=tmp_path / "r"
    )
    jobs = runner([0])
    (result,) = wait(jobs)
    assert "{1, 2}" in result
    Path(jobs[0]["result"]).unlink()
    with pytest.raises(ParallelError, match=f"{jobs[0]['job_id']}: 0 of 1"):
        collect_async_results(jobs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_workers_of_a_batch_system_do_the_work(slurm, tmp_path):
    with get_client(block(2, tmp_path), setup_fn=lambda: {"n": 3}) as client:
        script = client.cluster.job_script()
        assert parallel_map(lambda x, n: n * x, range(10), client=client) == [
            3 * x for x in range(10)
        ]
    assert "#SBATCH -t 00:30:00" in script
    assert sys.executable in script
    assert len((slurm / "submitted").read_text().splitlines()) == 2


def test_jobs_that_never_start_end_the_wait_with_the_job_script(slurm, tmp_path):
    (slurm / "stuck").touch()
    set_parallel(block(1, tmp_path, start_timeout=2))
    runner = Shout(Provider(OmegaConf.create({"words": ["a"]}), params={"mark": "!"}))
    with pytest.raises(
        ParallelError, match=r"no worker arrived within 2 s(.|\n)*#SBATCH"
    ) as caught:
        runner([0])
    assert str(tmp_path / "logs") in str(caught.value)
