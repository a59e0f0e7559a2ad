from __future__ import annotations

import logging

import pytest
from omegaconf import OmegaConf

from espnet3.parallel import parallel
from espnet3.systems.base.inference import infer
from espnet3.systems.base.inference_plan import plan_infer, plan_measure
from espnet3.systems.base.inference_state import discard
from tests.unit.systems.base import toy_inference as toy


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "_registered", None)
    manifest = tmp_path / "data" / "manifest" / "test.tsv"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("a\ta.wav\tx\n")
    return OmegaConf.create(
        {**toy.toy_config(tmp_path / "out"), "data_dir": str(tmp_path / "data")}
    )


def decodes(config, caplog):
    caplog.clear()
    with caplog.at_level(logging.INFO):
        infer(config)
    return "up to date" not in caplog.text


def test_infer_does_what_its_plan_says(config, tmp_path, caplog):
    plan = plan_infer(config)
    assert (plan.state, plan.why) == ("would run", "clean: not decoded yet")
    assert plan.outputs == (tmp_path / "out" / "clean",)
    assert decodes(config, caplog)
    plan = plan_infer(config)
    assert plan.state == "up to date", plan.why
    assert not decodes(config, caplog)

    config.model.prefix = "g"
    assert plan_infer(config).why == "clean: changed: config.model"
    assert decodes(config, caplog)
    manifest = tmp_path / "data" / "manifest" / "test.tsv"
    manifest.write_text("b\tb.wav\ty\n")
    plan = plan_infer(config)
    assert plan.why == f"clean: changed: data.{manifest}"
    assert plan.decides_by == (manifest,)
    assert decodes(config, caplog)
    scp = tmp_path / "out" / "clean" / "hyp.scp"
    scp.write_text("a edited\n")
    assert plan_infer(config).why == "clean: changed: output hyp.scp"
    assert decodes(config, caplog)
    config.runner.resume = False
    assert plan_infer(config).why == "clean: runner.resume is false"


def test_a_run_that_replaced_nothing_changes_no_plan(config, tmp_path, caplog):
    assert decodes(config, caplog)
    discard(tmp_path / "out" / "clean")
    plan = plan_infer(config)
    assert plan.state == "up to date", plan.why
    assert not decodes(config, caplog)


def test_data_without_files_are_left_to_the_stage(config, caplog):
    del config["data_dir"]
    assert decodes(config, caplog)
    plan = plan_infer(config)
    assert plan.state == "unknown"
    assert "only the built data set can tell" in plan.why


def test_measure_always_runs_over_what_infer_wrote(tmp_path):
    config = OmegaConf.create({"inference_dir": str(tmp_path), "metrics": [{"metric": {}}]})
    assert plan_measure(config).inputs == (tmp_path,)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "hyp.scp").touch()
    plan = plan_measure(config)
    assert (plan.state, plan.inputs) == ("would run", (tmp_path / "test",))
    config.dataset = {"test": [{"name": "other"}]}
    assert plan_measure(config).inputs == (tmp_path / "other",)
