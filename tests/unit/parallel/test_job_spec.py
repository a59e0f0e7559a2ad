from __future__ import annotations

import collections
import json
import stat
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.errors import ParallelError
from espnet3.parallel.base_runner import (
    BaseRunner,
    convert_paths,
    get_full_class_path_from_instance,
    get_job_class,
)
from espnet3.parallel.job_spec import AsyncJobSpec, build_provider, forget_secrets

TOKEN = "hf_" + "aB3" * 10


class Provider:
    def __init__(self, config, params=None):
        self.config = config
        self.params = params or {}


class Echo(BaseRunner):
    @staticmethod
    def forward(idx, **env):
        return idx


def describe(config=None, params=None, runner_cls=Echo, **values):
    runner = runner_cls(Provider(OmegaConf.create(config or {}), params))
    given = {"indices": [0], "world_size": 1, "world_rank": 0, "result_path": None}
    return AsyncJobSpec.of(runner, **{**given, **values})


def test_paths_become_text_in_all_containers():
    nested = {"a": [Path("x"), (Path("y"), 1)], "b": None}
    assert convert_paths(nested) == {"a": ["x", ("y", 1)], "b": None}


def test_a_class_of_a_script_is_named_after_its_file(monkeypatch):
    assert get_full_class_path_from_instance(Path("x")).startswith("pathlib.")
    cls = type("Own", (), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/somewhere/decode.py", raising=False)
    assert get_full_class_path_from_instance(cls()) == "decode.Own"


def test_classes_that_no_job_can_import_are_refused(monkeypatch):
    class Local(Echo):
        pass

    with pytest.raises(ParallelError, match="Local exists only in this process"):
        describe(runner_cls=Local)
    own = type("Own", (Echo,), {"__module__": "__main__"})
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(ParallelError, match="Own exists only in this process"):
        describe(runner_cls=own)


def test_what_is_written_is_read_and_only_by_the_owner(tmp_path):
    spec = describe({"folder": "größe", "n": [1, {"b": 2}]}, indices=[[0, 1], [2]])
    spec.save(tmp_path / "spec-1.json")
    assert AsyncJobSpec.load(tmp_path / "spec-1.json") == spec
    assert "größe" in (tmp_path / "spec-1.json").read_text(encoding="utf-8")
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600]


def test_secrets_have_a_file_of_their_own_until_the_job_is_done(tmp_path):
    config = {
        "hub": {"api_token": TOKEN},
        "urls": ["https://me:pw@example.org/x"],
        "token": "<unk>",
    }
    spec = describe(config, params={"password": "hunter2", "beam": 3})
    path = tmp_path / "spec-1.json"
    spec.save(path)
    text = path.read_text()
    for secret in (TOKEN, "me:pw", "hunter2"):
        assert secret not in text
    assert json.loads(text)["params"]["beam"] == 3
    loaded = AsyncJobSpec.load(path)
    assert (loaded.config, loaded.params) == (spec.config, spec.params)
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
    forget_secrets(path)
    assert [each.name for each in tmp_path.iterdir()] == ["spec-1.json"]


def test_an_object_in_the_params_is_refused(tmp_path):
    with pytest.raises(ParallelError, match="must be plain"):
        describe(params={"lock": object()}).save(tmp_path / "spec-1.json")


class Bare(Provider):
    def __init__(self, config):
        self.config = config


class Other(Provider):
    def __init__(self, config, words):
        self.config, self.words = config, words


class Extra(Bare):
    def __init__(self, config):
        super().__init__(config)
        self.params = {"beam": 3}


def test_a_provider_may_do_without_params(tmp_path):
    spec = AsyncJobSpec.of(
        Echo(Bare(None)), indices=[0], world_size=1, world_rank=0, result_path=None
    )
    spec.save(tmp_path / "spec-1.json")
    loaded = AsyncJobSpec.load(tmp_path / "spec-1.json")
    assert (loaded.config, loaded.params) == (None, {})
    assert build_provider(Bare, None, {}).config is None
    assert build_provider(Provider, None, {"beam": 3}).params == {"beam": 3}


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        (Other(None, ["a"]), "cannot build Other: missing a required argument: 'words'"),
        (Extra(None), "cannot build Extra: it has `params`"),
    ],
)
def test_a_provider_that_no_job_can_build_is_refused(provider, reason):
    with pytest.raises(ParallelError, match=reason):
        AsyncJobSpec.of(Echo(provider), indices=[0], world_size=1, world_rank=0, result_path=None)


class FakeJob:
    _script_template = "%(job_script_prologue)s %(worker_command)s"

    def __init__(self, prologue=()):
        self._job_script_prologue = list(prologue)
        self._command_template = "dask worker"


def test_a_job_class_runs_the_spec_file_under_this_interpreter(tmp_path):
    cluster = collections.namedtuple("Cluster", "job_cls")(FakeJob)
    job = get_job_class(cluster, tmp_path / "spec-1.json")(["module load x"])
    assert isinstance(job, FakeJob)
    assert job._command_template.startswith("cd ")
    entry = f"{sys.executable} -m espnet3.parallel.base_runner {tmp_path / 'spec-1.json'}"
    assert job._command_template.endswith(entry)
    with pytest.raises(AssertionError):
        get_job_class(cluster)


def test_a_prologue_that_the_script_has_no_place_for_goes_before_the_command(tmp_path):
    other = type("Condor", (FakeJob,), {"_script_template": "%(quoted_arguments)s"})
    cluster = collections.namedtuple("Cluster", "job_cls")(other)
    job = get_job_class(cluster, tmp_path / "spec")(["module load x"])
    assert job._command_template.startswith("module load x; cd ")
