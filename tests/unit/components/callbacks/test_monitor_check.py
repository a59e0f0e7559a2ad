"""A metric that something follows and nothing logs stops the run at its first validation."""

from __future__ import annotations

import pytest

from espnet3.errors import ConfigError
from espnet3.systems.base.training import train
from tests.unit.components.toy_training import toy_config

STOPPING = "lightning.pytorch.callbacks.EarlyStopping"
CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


def run(exp_dir, *callbacks, **changes):
    config = toy_config(exp_dir, **changes)
    config["trainer"] |= {"callbacks": list(callbacks), "num_sanity_val_steps": 1}
    train(config)


@pytest.mark.parametrize("kind", [STOPPING, CHECKPOINT])
@pytest.mark.parametrize(
    ("monitor", "hint"),
    [
        ("valid/los", 'did you mean "valid/loss"'),
        ("train/los", "train/loss"),
        ("wer", "valid/loss"),
    ],
)
def test_the_key_the_metrics_and_the_nearest_are_named(tmp_path, kind, monitor, hint):
    other = {"_target_": "lightning.pytorch.callbacks.Timer"}
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, other, {"_target_": kind, "monitor": monitor})
    assert caught.value.key == "trainer.callbacks[1].monitor"
    assert f"'{monitor}'" in str(caught.value)
    assert "there are: train/loss, valid/loss" in str(caught.value)
    assert hint in str(caught.value)


def test_a_schedule_that_follows_nothing_is_named(tmp_path):
    scheduler = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"}
    changes = {"scheduler": scheduler, "scheduler_interval": "epoch"}
    with pytest.raises(ConfigError, match="scheduler_monitor = 'valid/cer'"):
        run(tmp_path, **changes, scheduler_monitor="valid/cer")


def test_metrics_that_exist_are_followed_and_callbacks_may_do_without(tmp_path):
    run(
        tmp_path,
        {"_target_": STOPPING, "monitor": "valid/loss"},
        {"_target_": STOPPING, "monitor": "train/loss"},
        {"_target_": STOPPING, "monitor": "valid/wer", "strict": False},
        {"_target_": CHECKPOINT, "monitor": "step", "mode": "max"},
    )
    assert (tmp_path / "last.ckpt").exists()
