from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from espnet3.components.trainers.settings import TrainerSettings
from espnet3.errors import WeightsError
from espnet3.systems.base.config_changes import describe_restored
from espnet3.systems.base.resume import ResumePoint
from espnet3.systems.base.training import train
from espnet3.utils.weights_utils import read_state_dict
from tests.unit.components.toy_training import toy_config

EARLY_STOPPING = {
    "_target_": "lightning.pytorch.callbacks.EarlyStopping",
    "monitor": "valid/loss",
    "patience": 1,
    "min_delta": 1000.0,
}


def test_run_that_was_stopped_early_is_finished(tmp_path, caplog):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    config["trainer"] |= {"max_epochs": 5, "callbacks": [EARLY_STOPPING]}
    train(config)
    assert (tmp_path / "last.ckpt").readlink() == Path("step4.ckpt")
    with caplog.at_level("INFO"):
        train(config)
    assert "Nothing to do" in caplog.text
    assert "remove EarlyStopping" in caplog.text
    del config["trainer"]["callbacks"]
    with pytest.warns(UserWarning, match="EarlyStopping"):
        train(config)
    assert (tmp_path / "last.ckpt").readlink() == Path("step10.ckpt")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_epochs": 3}, None),
        ({"max_epochs": 2}, "raise trainer.max_epochs"),
        ({"max_epochs": -1, "max_steps": 8}, "raise trainer.max_steps"),
        ({"max_epochs": 3, "max_steps": -1}, None),
        ({}, None),
    ],
)
def test_limits_decide_what_is_left_to_do(limits, expected):
    point = ResumePoint(Path("last.ckpt"), epochs=2, steps=8)
    assert point.way_on(TrainerSettings(lightning=limits)) == expected


def test_early_stop_before_the_minimum_is_no_end():
    point = ResumePoint(Path("last.ckpt"), epochs=2, steps=8, stopped_early=True)
    settings = TrainerSettings(callbacks=[EARLY_STOPPING], lightning={"min_epochs": 3})
    assert point.way_on(settings) is None


def test_best_checkpoints_that_are_gone_are_left_out_of_the_average(tmp_path, caplog):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    train(config)
    (tmp_path / "epoch0_step2_valid.loss.ckpt").unlink()
    longer = copy.deepcopy(config)
    longer["trainer"]["max_epochs"] = 3
    train(longer)
    assert "epoch0_step2_valid.loss.ckpt" in caplog.text
    rest = [tmp_path / f"epoch{e}_step{2 * e + 2}_valid.loss.ckpt" for e in (1, 2)]
    states = [read_state_dict(path) for path in rest]
    average = torch.load(tmp_path / "valid.loss.ave.pth", weights_only=True)
    both = torch.stack([state["head.weight"] for state in states])
    torch.testing.assert_close(average["head.weight"], both.mean(0))
    assert {path.name for path in tmp_path.glob("*.ave*")} == {
        "valid.loss.ave.pth",
        "valid.loss.ave_2best.pth",
    }


def test_a_resume_that_does_not_fit_leaves_the_configuration_of_the_checkpoint(tmp_path):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    train(config)
    written = (tmp_path / "training.yaml").read_text()
    config["trainer"]["max_epochs"] = 3
    config["model"]["hidden"] = 5
    with pytest.raises(WeightsError) as caught:
        train(config)
    message = str(caught.value)
    assert "encoder.weight (model (5, 4), file (3, 4))" in message
    assert "changed: model.hidden: absent -> 5" in message
    assert "another exp_tag" in message
    assert (tmp_path / "training.yaml").read_text() == written
    del config["model"]["hidden"]
    config["freeze"] = ["encoder"]
    with pytest.raises(WeightsError, match="parameter group(.|\n)*changed: freeze"):
        train(config)
    assert (tmp_path / "training.yaml").read_text() == written
    del config["freeze"]
    train(config)
    assert "max_epochs: 3" in (tmp_path / "training.yaml").read_text()


def test_a_resume_names_the_changes_that_the_checkpoint_overrides(tmp_path, caplog):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    train(config)
    config["trainer"]["max_epochs"] = 3
    train(config)
    assert "have no effect" not in caplog.text
    config["trainer"]["max_epochs"] = 4
    config["optimizer"]["lr"] = 0.5
    train(config)
    record = next(r for r in caplog.records if "have no effect" in r.getMessage())
    assert record.levelname == "WARNING"
    assert "optimizer.lr: 0.05 -> 0.5" in record.getMessage()
    assert "max_epochs" not in record.getMessage()


def test_changes_of_a_finished_run_are_warned_about_and_not_saved(tmp_path, caplog):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    train(config)
    train(config)
    assert "not trained" not in caplog.text
    written = (tmp_path / "training.yaml").read_text()
    config["optimizer"]["lr"] = 0.5
    train(config)
    assert "what changed is not trained:\n  optimizer.lr: 0.05 -> 0.5" in caplog.text
    assert (tmp_path / "training.yaml").read_text() == written


@pytest.mark.parametrize(
    ("target", "is_kept"),
    [
        ("torch.optim.lr_scheduler.StepLR", True),
        ("espnet3.components.optimizers.schedulers.WarmupLR", False),
    ],
)
def test_only_the_schedules_of_torch_keep_their_shape(tmp_path, target, is_kept):
    config = {"scheduler": {"_target_": target, "size": 2}}
    (tmp_path / "training.yaml").write_text(f"scheduler: {{_target_: {target}, size: 1}}")
    lines = describe_restored(config, tmp_path / "training.yaml")
    assert lines == (["scheduler.size: 1 -> 2"] if is_kept else [])
