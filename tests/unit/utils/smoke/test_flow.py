from __future__ import annotations

import os
from pathlib import Path

import pytest

from espnet3.errors import StageError
from espnet3.utils.smoke.flow import default_paths, select_stages, smoke_scope
from espnet3.utils.smoke.refinement import Refinement

MAKES_DATA = Refinement(makes_data=True)


def select(*stages, requested=("all",), refinement=MAKES_DATA, lacking=()):
    return select_stages(stages, requested, refinement, lambda stage: stage in lacking)


def test_slots_without_a_file_get_the_recipe_s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("conf").mkdir()
    for name in ("training", "inference", "demo"):
        Path("conf", f"{name}.yaml").touch()
    paths = dict.fromkeys(["training_config", "inference_config", "metrics_config", "demo_config"])
    paths["training_config"] = Path("conf/tuning/a.yaml")
    found = default_paths(paths, Path.cwd(), lambda slot: slot != "demo_config")
    assert found == {
        "training_config": Path("conf/tuning/a.yaml"),
        "inference_config": Path("conf/inference.yaml"),
        "metrics_config": None,
        "demo_config": None,
    }
    monkeypatch.chdir(tmp_path / "conf")
    found = default_paths({"inference_config": None}, tmp_path, lambda slot: True)
    assert found == {"inference_config": tmp_path / "conf" / "inference.yaml"}


def test_uploads_are_refused():
    with pytest.raises(StageError, match="never publishes: leave out upload_model"):
        select("infer", "upload_model", requested=["upload_model"])


def test_stages_without_configuration_are_left_out_of_all_but_not_when_named():
    assert select("infer", "pack_demo", lacking=["pack_demo"]) == ["infer"]
    assert select("pack_demo", requested=["pack_demo"], lacking=["pack_demo"]) == ["pack_demo"]


def test_data_are_made_only_where_the_recipe_says_how(caplog):
    assert select("create_dataset", "train") == ["create_dataset", "train"]
    assert select("create_dataset", "train", refinement=Refinement()) == ["train"]
    assert "conf/smoke.yaml does not say how" in caplog.text


@pytest.mark.parametrize("before", [None, "0,1"])
def test_gpus_are_hidden_inside_the_block_only(monkeypatch, before):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    with smoke_scope(False):
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
    with pytest.raises(ValueError, match="x"), smoke_scope(True):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        raise ValueError("x")
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
