from __future__ import annotations

import os
from types import SimpleNamespace

import cloudpickle
import pytest

from espnet3.parallel.parallel import DictReturnWorkerPlugin
from espnet3.parallel.worker_env import (
    Context,
    EnvSelector,
    LazyEnv,
    build_local_env,
    wrap_func_with_worker_env,
)

HERE = Context(path=(), directory=os.curdir)


def select(func, env, *args, **kwargs):
    return EnvSelector(func)(env, len(args), kwargs)


def test_entries_go_to_parameters_of_their_name_and_others_are_ignored():
    assert select(lambda x, bias=-1: None, {"bias": 10, "noise": 1}, 0) == {"bias": 10}


def test_a_function_with_keywords_gets_every_entry():
    assert select(lambda x, **kw: None, {"a": 1, "b": 2}, 0) == {"a": 1, "b": 2}


def test_an_argument_given_by_position_is_left_alone():
    assert select(lambda x, y=0: None, {"x": 1, "y": 2}, 5) == {"y": 2}
    assert select(lambda x, **kw: None, {"x": 1, "y": 2}, 5) == {"y": 2}


@pytest.mark.parametrize("func", [lambda x, bias=0: None, lambda x, **kw: None])
def test_a_name_that_is_given_twice_is_an_error(func):
    with pytest.raises(ValueError, match="bias"):
        select(func, {"bias": 1}, 0, bias=2)


def test_a_keyword_of_no_parameter_does_not_clash():
    assert select(lambda x: None, {"bias": 1}, 0, bias=2) == {}


def test_a_function_without_signature_takes_nothing():
    assert select(dict.fromkeys, {"iterable": 1}) == {}


def test_outside_a_worker_the_function_is_called_as_it_is():
    assert wrap_func_with_worker_env(lambda x, bias=-1: x + bias)(3) == 2


def test_an_environment_is_built_once(tmp_path):
    log = tmp_path / "log"

    def build():
        with log.open("a") as stream:
            return {"n": stream.write("x")}

    env = LazyEnv(cloudpickle.dumps(build), HERE)
    assert not log.exists()
    assert env.get() is env.get()
    assert log.read_text() == "x"


def test_a_failed_environment_is_not_built_again(tmp_path):
    log = tmp_path / "log"

    def fail():
        with log.open("a") as stream:
            stream.write("x")
        raise OSError("no model")

    env = LazyEnv(cloudpickle.dumps(fail), HERE)
    for _ in range(2):
        with pytest.raises(OSError, match="no model"):
            env.get()
    assert log.read_text() == "x"


def test_the_plugin_keeps_the_dict_and_names_the_worker(monkeypatch):
    monkeypatch.delenv("DASK_WORKER_ID", raising=False)
    worker = SimpleNamespace(plugins={}, id="w7")
    DictReturnWorkerPlugin(lambda: {"a": 1}).setup(worker)
    assert worker.plugins["env"] == {"a": 1}
    assert os.environ["DASK_WORKER_ID"] == "w7"


def test_an_environment_that_is_no_dict_is_named():
    class Forgetful:
        def build_env_local(self):
            pass

    wanted = "Forgetful.build_env_local must return a dict, got NoneType"
    with pytest.raises(ValueError, match=wanted):
        build_local_env(Forgetful())


def test_the_plugin_refuses_what_is_no_dict():
    with pytest.raises(ValueError, match="must return a dict"):
        DictReturnWorkerPlugin(lambda: [1]).setup(SimpleNamespace(plugins={}, id="w"))


def test_a_host_without_the_working_directory_is_told(tmp_path):
    env = LazyEnv(cloudpickle.dumps(dict), Context(path=(), directory=str(tmp_path / "gone")))
    with pytest.raises(FileNotFoundError, match="gone") as caught:
        env.get()
    assert "every host of a worker needs the working directory" in caught.value.__notes__[0]
