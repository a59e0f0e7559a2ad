from __future__ import annotations

import os

import dask
import distributed  # noqa: F401, brings its defaults
import pytest
from omegaconf import OmegaConf

from espnet3.parallel import worker_malloc
from espnet3.parallel.parallel import get_client
from espnet3.parallel.worker_malloc import add_to_prologue, keeps_choice, worker_config
from tests.unit.parallel.conftest import variable

NAME = "MALLOC_TRIM_THRESHOLD_"
KEY = f"distributed.nanny.pre-spawn-environ.{NAME}"


def variable_of_a_worker(options=None):
    config = OmegaConf.create({"n_workers": 1, "options": options or {}})
    with get_client(config) as client:
        return variable(client, NAME)


def test_workers_of_this_machine_keep_the_memory_that_they_ask_for_again(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    before = dask.config.get(KEY)
    assert variable_of_a_worker() is None
    assert dask.config.get(KEY) == before
    assert NAME not in os.environ


def test_what_the_user_has_set_reaches_the_workers(monkeypatch):
    # A nanny puts such variables into the process that it runs in, too.
    monkeypatch.setenv(NAME, "4711")
    assert variable_of_a_worker() == "4711"
    monkeypatch.delenv(NAME)
    assert variable_of_a_worker({"env": {NAME: "815"}}) == "815"
    with dask.config.set({KEY: 1234}):
        assert keeps_choice()
        assert variable_of_a_worker() == "1234"


def test_dasks_own_value_counts_as_a_choice_where_the_user_has_written_it(monkeypatch):
    assert worker_config() == {KEY: None}
    written = dask.config.expand_environment_variables({})
    dask.config.set({KEY: dask.config.get(KEY)}, config=written)
    monkeypatch.setattr(dask.config, "collect", lambda: written)
    assert worker_config() == {}
    assert add_to_prologue("slurm", {"cores": 1}) == {"cores": 1}


@pytest.mark.parametrize("source", ["option", "old option", "configuration"])
def test_jobs_get_variables_behind_the_lines_of_the_user(source):
    options = {"option": {"job_script_prologue": ["a"]}, "old option": {"env_extra": ["a"]}}
    with dask.config.set({"jobqueue.pbs.job-script-prologue": ["a"]}):
        found = add_to_prologue(
            "pbs" if source == "configuration" else "slurm", options.get(source, {})
        )
    first, *ours = found["job_script_prologue"]
    assert first == "a"
    assert [line.split("=")[0] for line in ours] == [
        f"export {n}" for n in worker_malloc._VARIABLES
    ]
