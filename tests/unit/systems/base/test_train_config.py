"""A training configuration that names no model is at fault itself."""

from __future__ import annotations

import pytest

from espnet3.systems.base.inference_checks import check_before_building
from espnet3.systems.base.train_config import load_train_config


def test_a_configuration_without_a_model_is_named(tmp_path):
    path = tmp_path / "tr.yaml"
    path.write_text("model: {}")
    with pytest.raises(RuntimeError, match=r"tr.yaml: train_config: names no model"):
        load_train_config(path)


def test_options_of_a_task_need_no_target(tmp_path):
    path = tmp_path / "tr.yaml"
    path.write_text("task: espnet2.tasks.asr.ASRTask\nmodel: {}")
    assert load_train_config(path) == {"model": {}}


def test_a_missing_file_without_a_folder_is_found_before_the_model_is_built():
    model = {"_target_": "a.B", "train_config": "tr.yaml", "model_file": "nope.pth"}
    with pytest.raises(RuntimeError, match=r"model.train_config: tr.yaml: no such file"):
        check_before_building({"model": model})
    with pytest.raises(RuntimeError, match=r"model.model_file: nope.pth: no such file"):
        check_before_building({"model": {"_target_": "a.B", "model_file": "nope.pth"}})
