"""What configurations say together, on recipes in a temporary folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from espnet3.errors import ConfigError, MissingConfigError
from espnet3.systems.asr.system import ASRSystem
from espnet3.utils.config_utils import load_config_with_defaults
from espnet3.utils.log_reference import check_log_mapping
from espnet3.utils.run_checks import RunRequest, check_run
from espnet3.utils.run_utils import build_system


class OwnTrain(ASRSystem):
    """A recipe that trains in its own way."""

    def train(self) -> None: ...

    def export(self) -> None: ...


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def build(stages: str = "train", system_cls: Any = ASRSystem, **texts: str) -> RunRequest:
        configs = {}
        for slot, text in texts.items():
            Path(f"{slot}.yaml").write_text(text)
            configs[slot] = load_config_with_defaults(f"{slot}.yaml")
        return RunRequest(configs=configs, stages=stages.split(), system_cls=system_cls)

    return build


def keys(run: RunRequest) -> list[str]:
    return [finding.error.key or "" for finding in check_run(run)]


def test_only_stages_of_the_framework_are_judged(request_of):
    assert "model" in keys(request_of(training="exp_dir: exp"))
    assert keys(request_of(training="exp_dir: exp", system_cls=OwnTrain)) == []
    assert keys(request_of("create_dataset", training="exp_dir: exp")) == []
    assert keys(request_of(training="exp_dir: exp", system_cls=None)) == []


def test_what_runs_is_what_was_asked_for_and_has_its_slots(request_of):
    run = request_of("train infer", training="exp_dir: exp")
    assert run.runs("train")
    assert not run.runs("infer")
    assert not run.runs("measure")
    assert request_of("train export", training="a: 1", system_cls=OwnTrain).has_own_stage()


def test_values_that_are_not_known_are_not_judged(request_of):
    run = request_of(training="a: {b: [1, '???']}\nc: null")
    assert run.get("training.a.b[0]") == 1
    assert run.get("training.a.b[1]", "open") == "open"
    assert run.get("training.c.d", "absent") == "absent"
    assert run.get("inference.c") is None
    OmegaConf.update(run.configs["training"], "e", "${load_line:x}")
    assert run.get("training.e") is None


def test_findings_have_the_place_of_the_key(request_of):
    run = request_of(training="a: 1\nb: {c: 2}")
    text = str(run.finding("training.b.c", ConfigError("is wrong", value=2)).error)
    assert text == "training.yaml:2: b.c = 2: is wrong"


def test_an_open_point_of_a_template_belongs_to_the_recipes_file(tmp_path, request_of):
    (tmp_path / "base.yaml").write_text("model: null\n")
    run = request_of(training="defaults: [base]\n")
    error = run.finding("training.model", MissingConfigError("must be set")).error
    assert str(error) == "training.yaml: model: must be set"


def test_absent_files_name_the_stage_that_writes_them(request_of):
    run = request_of("train", training="stats_dir: stats")
    (finding,) = run.need_file("training.x", "stats/train/feats_shape")
    assert finding.error.hint == "run the stage collect_stats first"
    (finding,) = run.need_file("training.x", "elsewhere/feats_shape")
    assert finding.error.hint == "correct the path"
    assert list(run.need_file("training.x", "training.yaml")) == []
    later = request_of("collect_stats train", training="stats_dir: stats")
    assert list(later.need_file("training.x", "stats/train/feats_shape")) == []


def test_a_stage_that_has_not_run_is_reported_once(request_of):
    text = "exp_dir: exp\n"
    model = "model: {_target_: some.Model, a: exp/last.ckpt, b: exp/training.yaml}\n"
    inference = "inference_dir: out\ninput_key: x\nprovider: {a: 1}\nrunner: {a: 1}\n" + model
    found = keys(request_of("infer", training=text, inference=inference + "dataset: {}"))
    assert found == ["model.a"]


def test_files_of_resolvers_that_nobody_writes(request_of):
    run = request_of("create_dataset", training="exp_dir: exp\ndata_dir: data\n")
    OmegaConf.update(run.configs["training"], "tokens", "${load_line:/nowhere/tokens.txt}")
    assert keys(run) == ["tokens"]
    OmegaConf.update(run.configs["training"], "tokens", "${load_line:data/tokens.txt}")
    assert keys(run) == []


def test_a_log_mapping_with_typos_is_warned_about(caplog):
    class System(ASRSystem):
        STAGE_LOG_MAPPING = {**ASRSystem.STAGE_LOG_MAPPING, "tran": "trainin_config.exp_dir"}

    with caplog.at_level(logging.WARNING):
        build_system(System, {"training_config": None})
    assert "stage_log_mapping: 'tran' is no stage; did you mean \"train\"" in caplog.text
    assert "tran: nothing is called 'trainin_config'" in caplog.text
    assert 'did you mean "training_config"' in caplog.text
    assert list(check_log_mapping(ASRSystem(), ASRSystem().stage_log_mapping)) == []
