from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from espnet3.parallel import base_runner
from espnet3.parallel.base_runner import BaseRunner
from espnet3.parallel.env_provider import EnvironmentProvider
from espnet3.parallel.job_spec import AsyncJobSpec
from espnet3.parallel.job_worker import read_results, run_spec_file, to_json


class Provider(EnvironmentProvider):
    def __init__(self, config, params=None):
        super().__init__(config)
        self.params = dict(params or {})

    def build_env_local(self):
        return self.build_worker_setup_fn()()

    def build_worker_setup_fn(self):
        config, params = self.config, dict(self.params)
        return lambda: {"dataset": list(config.words), **params}


class Stream(BaseRunner):
    """Takes its parameters from `**env`, as stream-style runners do."""

    @staticmethod
    def forward(idx, dataset, **env):
        indices = idx if isinstance(idx, list) else [idx]
        words = [dataset[i] + env["mark"] for i in indices]
        return {"words": words, "rank": os.environ["WORLD_RANK"], "of": os.environ["WORLD_SIZE"]}


@pytest.fixture
def save(tmp_path, monkeypatch):
    for name in ("WORLD_SIZE", "WORLD_RANK"):
        monkeypatch.setenv(name, "")

    def make(indices, result=None):
        provider = Provider(OmegaConf.create({"words": list("aé\u2028c")}), {"mark": "!"})
        path = tmp_path / "spec-x.json"
        AsyncJobSpec.of(
            Stream(provider), indices=indices, world_size=3, world_rank=1, result_path=result
        ).save(path)
        return path

    return make


def test_a_provider_that_builds_nothing_is_named(save, monkeypatch):
    monkeypatch.setattr(Provider, "build_worker_setup_fn", lambda self: lambda: None)
    with pytest.raises(ValueError, match="build_worker_setup_fn must return a dict, got NoneType"):
        run_spec_file(save([0]))


def test_without_a_result_file_the_results_are_returned(save):
    assert run_spec_file(save([0, [1, 3]])) == [
        {"words": ["a!"], "rank": "1", "of": "3"},
        {"words": ["é!", "c!"], "rank": "1", "of": "3"},
    ]


def test_one_line_per_item_and_a_job_that_was_killed_goes_on(save, tmp_path):
    result = tmp_path / "result.jsonl"
    spec = save([0, 1, 2], str(result))
    assert run_spec_file(spec) is None
    whole = result.read_bytes()
    assert whole.count(b"\n") == 3
    assert "é!" in whole.decode()
    first = whole.index(b"\n") + 1
    for end in (0, 5, first, first + 7, len(whole)):
        result.write_bytes(whole[:end])
        run_spec_file(spec)
        assert result.read_bytes() == whole
    assert list(read_results(tmp_path / "absent")) == []


@pytest.mark.parametrize("entry", [["-m", base_runner.__name__], [base_runner.__file__]])
def test_the_entry_point_runs_as_module_and_as_file(save, tmp_path, entry):
    root = str(Path(base_runner.__file__).parents[2])
    result = tmp_path / "result.jsonl"
    command = [sys.executable, *entry, str(save([3, 0], str(result)))]
    subprocess.run(command, check=True, cwd=root, env={**os.environ, "PYTHONPATH": root})
    found = [json.loads(line) for line in result.read_text().splitlines()]
    assert [(row["words"], row["rank"]) for row in found] == [(["c!"], "1"), (["a!"], "1")]


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), [float("inf")], "\ud800", {(1,): 2}])
def test_what_json_cannot_hold_is_its_repr(value):
    assert json.loads(to_json(value)) == repr(value)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_any_result_is_one_line_of_json(value):
    line = to_json(value)
    assert b"\n" not in line
    json.loads(line)
