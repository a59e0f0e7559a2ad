from __future__ import annotations

import importlib
import inspect
import re

import pytest

from espnet3.errors import MissingConfigError, UnknownKeyError
from espnet3.utils.source_signatures import find_signature
from espnet3.utils.worker_options import CALLEES, check_block, check_options

SOUND = {"cores": 1, "memory": "1GB"}


def texts(section):
    return [str(error) for error in check_block(section)]


def test_a_misspelt_option_is_named_with_what_is_meant():
    (error,) = check_options("slurm", {**SOUND, "walltim": "1:00"})
    assert isinstance(error, UnknownKeyError)
    assert error.key == "parallel.options.walltim"
    assert error.hint == 'did you mean "walltime"?'


@pytest.mark.parametrize("env", ["local", "local_gpu", "auto", "ssh"])
def test_an_option_of_no_class_is_named_with_those_that_there_are(env):
    (text,) = texts({"env": env, "n_workers": 2, "options": {"zzzz": 1}})
    assert "parallel.options.zzzz: is not an option" in text
    assert re.search(r"options are the arguments of \w+ and \w+$", text)


@pytest.mark.parametrize(
    "section",
    [
        {"env": "local", "n_workers": 2, "options": {"memory_limit": 0, "env": {}, "quiet": True}},
        {"env": "local_gpu", "n_workers": 2, "options": {"workers_per_device": 2}},
        {"env": "slurm", "options": {**SOUND, "job_extra_directives": [], "queue": "gpu"}},
        {"env": "htcondor", "options": {**SOUND, "disk": "1GB"}},
        {"env": "ssh", "options": {"hosts": ["a", "b"], "remote_python": "python"}},
        {"env": "local", "options": {"queue": "gpu"}},  # nobody reads it
        {"env": "${x}", "options": {"queue": "gpu"}},
        {"env": "slurm", "options": "${x}"},
        {"env": "kube", "options": {"any": 1}},
        None,
    ],
)
def test_what_is_sound_or_not_known_is_not_reported(section):
    assert texts(section) == []


def test_what_a_batch_system_must_be_told_is_asked_for(monkeypatch):
    first, second, third = check_options("htcondor", {"cores": None})
    assert all(isinstance(error, MissingConfigError) for error in (first, second, third))
    keys = [error.key for error in (first, second, third)]
    assert keys == [f"parallel.options.{name}" for name in ("cores", "memory", "disk")]
    import dask

    with dask.config.set({"jobqueue.slurm.memory": "2GB", "jobqueue.mine.memory": "2GB"}):
        assert list(check_options("slurm", {"cores": 1})) == []
        assert list(check_options("slurm", {"cores": 1, "config_name": "mine"})) == []
    assert len(list(check_options("slurm", {"cores": 1}))) == 1


@pytest.mark.parametrize("path", sorted({path for paths in CALLEES.values() for path in paths}))
def test_what_is_read_from_the_source_is_what_the_class_takes(path):
    module, _, name = path.rpartition(".")
    callee = getattr(importlib.import_module(module), name)
    found = find_signature(path)
    assert found is not None
    assert set(found.parameters) == {
        p.name
        for p in inspect.signature(callee).parameters.values()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
