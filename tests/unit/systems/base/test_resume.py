from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from espnet3.components.trainers.settings import TrainerSettings
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
