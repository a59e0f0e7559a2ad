"""Batch systems by stand-ins of their commands that really run the submitted script."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.errors import ParallelError
from espnet3.parallel import job_watch
from espnet3.parallel.base_runner import BaseRunner, collect_async_results
from espnet3.parallel.parallel import get_client, parallel_map, set_parallel
from espnet3.parallel.status import find_progress
from tests.unit.parallel import batch_stand_in
from tests.unit.parallel.batch_stand_in import COMMANDS, WALLTIMES, read_lines
from tests.unit.parallel.conftest import variable
from tests.unit.parallel.test_job_worker import Provider

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def batch_system(tmp_path, monkeypatch):
    """Return a function that puts the commands of a batch system on the path."""

    def install(env):
        batch_stand_in.install(tmp_path, env)
        return tmp_path

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return install


def block(n_workers, folder, env="slurm", **more):
    options = {
        "cores": 1,
        "processes": 1,
        "memory": "1GB",
        "walltime": 1800,
        "interface": "lo",
        "log_directory": str(folder / "logs"),
        "local_directory": str(folder / "local"),
        **batch_stand_in.OPTIONS.get(env, {}),
    }
    options = {key: value for key, value in options.items() if value is not None}
    return OmegaConf.create({"env": env, "n_workers": n_workers, "options": options, **more})


class Shout(BaseRunner):
    @staticmethod
    def forward(idx, dataset, **env):
        if env.get("as_object"):
            return {"word": dataset[idx], "object": {1, 2}}
        return dataset[idx].upper() + env["mark"]


def wait(jobs):
    return collect_async_results(jobs, timeout=120)


@pytest.mark.parametrize(
    ("env", "n_workers"),
    # The other systems get their scripts in the same way as SLURM.
    [("local", 2), ("slurm", 3), ("lsf", 2), ("htcondor", 2), ("oar", 2)],
)
def test_detached_jobs_leave_one_line_per_item(batch_system, tmp_path, env, n_workers):
    config = {"env": env, "n_workers": n_workers}
    if env != "local":
        config = block(n_workers, batch_system(env), env)
    set_parallel(OmegaConf.create(config))
    params = {"mark": "!", "password": "hunter2"}
    runner = Shout(
        Provider(OmegaConf.create({"words": list("größe")}), params=params),
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
    assert "hunter2" not in Path(jobs[0]["spec"]).read_text()
    if env != "local":
        assert len(read_lines(tmp_path / "submitted")) == n_workers


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
    log = jobs[0]["spec"].replace(".json", ".log")
    with pytest.raises(ParallelError, match=f"{jobs[0]['job_id']}: 0 of 1 .*log: {log}"):
        collect_async_results(jobs)


class Poison(Shout):
    @staticmethod
    def forward(idx, dataset, **env):
        if idx == 1 and env["mark"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if idx == 1:
            raise ValueError(f"no {dataset[idx]}")
        return idx


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("raise", "ValueError: no b\n.*while Poison worked on item 1"),
        ("kill", "its process is gone, was it killed?"),
    ],
)
def test_a_detached_job_that_died_ends_the_wait_with_its_error(tmp_path, mark, reason):
    provider = Provider(OmegaConf.create({"words": ["a", "b"]}), params={"mark": mark})
    runner = Poison(
        provider, async_mode=True, async_specs_dir=tmp_path, async_result_dir=tmp_path / "r"
    )
    jobs = runner([0, 1])
    with pytest.raises(ParallelError, match=f"jobs that died:\n.*: 1 of 2 .*\n *{reason}"):
        collect_async_results(jobs, timeout=120)
    (progress,) = find_progress(tmp_path)
    assert progress.state.startswith("died: " + reason.partition("\n")[0])


@pytest.mark.parametrize("env", COMMANDS)
def test_workers_of_a_batch_system_do_the_work(batch_system, env):
    folder = batch_system(env)
    with get_client(block(1, folder, env), setup_fn=lambda: {"n": 3}) as client:
        found = parallel_map(lambda x, n: n * x, range(10), client=client)
        trim = variable(client, "MALLOC_TRIM_THRESHOLD_")
    assert found == [3 * x for x in range(10)]
    assert trim == str(2**26)
    (job,) = read_lines(folder / "submitted")
    script = (folder / f"script-{job}").read_text()
    assert sys.executable in script
    assert WALLTIMES.get(env, "") in script
    assert read_lines(folder / "cancelled") == [job]


def test_a_job_that_ends_too_early_is_submitted_again(batch_system, tmp_path, monkeypatch):
    monkeypatch.setattr(job_watch, "_RESTART_TIME", 0.5)
    folder = batch_system("slurm")

    def work(x):
        if x == 3 and not (tmp_path / "ended").exists():
            (tmp_path / "ended").touch()
            time.sleep(1)  # what is done already reaches the driver
            os.killpg(os.getpgid(0), signal.SIGKILL)
        return x

    set_parallel(block(1, tmp_path))
    assert parallel_map(work, range(8)) == list(range(8))
    assert len(read_lines(folder / "submitted")) == 2


def refuse(folder, command):
    script = "#!/bin/sh\necho 'error: invalid partition' >&2\nexit 3\n"
    (folder / command).write_text(script)


@pytest.mark.parametrize("env", ["slurm", "oar"])
def test_a_batch_system_that_refuses_ends_the_run_at_once_with_its_words(
    batch_system, tmp_path, env, caplog
):
    refuse(batch_system(env), COMMANDS[env][0])
    set_parallel(block(2, tmp_path, env))
    reason = rf"{COMMANDS[env][0]} refused the job \(exit status 3\): error: invalid partition\n"
    started = time.monotonic()
    with pytest.raises(ParallelError, match=f"^{reason}  job script:"):
        parallel_map(str, range(3))
    assert time.monotonic() - started < 60
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("env", ["pbs", "lsf"])
def test_a_batch_system_that_is_not_there_is_named(tmp_path, env):
    set_parallel(block(1, tmp_path, env))
    with pytest.raises(ParallelError, match=f"{COMMANDS[env][0]}: command not found"):
        parallel_map(str, range(3))


def test_a_detached_job_that_is_refused_names_those_before_it(batch_system, tmp_path):
    folder = batch_system("slurm")
    stand_in = (folder / "sbatch").read_text()
    set_parallel(block(2, tmp_path))
    once = stand_in.replace("exec", f"test -e {folder}/submitted && echo full >&2 && exit 4\nexec")
    (folder / "sbatch").write_text(once)
    runner = Shout(
        Provider(OmegaConf.create({"words": ["a", "b"]}), params={"mark": "!"}),
        async_mode=True,
        async_specs_dir=tmp_path / "specs",
        async_result_dir=tmp_path / "r",
    )
    with pytest.raises(ParallelError, match=r"sbatch refused the job \(exit.*4\): full") as caught:
        runner([0, 1])
    (note,) = caught.value.__notes__
    assert note.endswith("-r0")


def test_jobs_that_never_start_end_the_wait_with_the_job_script(batch_system, tmp_path):
    (batch_system("slurm") / "stuck").touch()
    config = block(1, tmp_path, start_timeout=2)
    config.options.job_script_prologue = ["export HUB_TOKEN=abc"]
    set_parallel(config)
    runner = Shout(Provider(OmegaConf.create({"words": ["a"]}), params={"mark": "!"}))
    with pytest.raises(
        ParallelError, match=r"no worker arrived within 2 s(.|\n)*#SBATCH"
    ) as caught:
        runner([0])
    assert str(tmp_path / "logs") in str(caught.value)
    assert "HUB_TOKEN=***" in str(caught.value)


IMPORTS = """
import signal
from espnet3.parallel.clusters import CLUSTER_MAP
try:
    CLUSTER_MAP["slurm"]()
except ValueError as error:
    print("cores" in str(error), signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_ctrl_c_keeps_its_meaning_beside_a_batch_system():
    # The package's own handler ends a program with status 0, as if all work were done.
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "True True\n", done.stderr
