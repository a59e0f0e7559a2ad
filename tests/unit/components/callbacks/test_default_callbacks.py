from __future__ import annotations

import lightning
import pytest
from lightning.pytorch.callbacks import (
    Callback,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from omegaconf import OmegaConf

from espnet3.components.callbacks.default_callbacks import (
    AverageCheckpointsCallback,
    MetricsLogger,
    get_default_callbacks,
)
from espnet3.components.callbacks.idle_hooks import hide_idle_hooks
from espnet3.components.callbacks.relative_link import point_to
from espnet3.errors import ConfigError

CRITERIA = [("valid/loss", 3, "min"), ("valid/acc", 2, "max")]


def test_structure(tmp_path):
    found = get_default_callbacks(tmp_path, 20, CRITERIA)
    last, best_loss, best_acc, average, rates, metrics, bar = found
    assert isinstance(last, ModelCheckpoint)
    assert last.monitor is None
    assert last.save_weights_only is False
    for callback, (monitor, top_k, mode) in zip((best_loss, best_acc), CRITERIA, strict=True):
        assert isinstance(callback, ModelCheckpoint)
        assert (callback.monitor, callback.save_top_k, callback.mode) == (monitor, top_k, mode)
        assert callback.save_weights_only is True
        assert callback.filename == "epoch{epoch}_step{step}_" + monitor.replace("/", ".")
    assert isinstance(average, AverageCheckpointsCallback)
    assert average.best_ckpt_callbacks == [best_loss, best_acc]
    assert isinstance(rates, LearningRateMonitor)
    assert isinstance(metrics, MetricsLogger)
    assert metrics.log_every_n_steps == 20
    assert isinstance(bar, TQDMProgressBar)
    assert bar.refresh_rate == 20


def test_default_is_the_validation_loss():
    assert get_default_callbacks()[1].monitor == "valid/loss"
    assert len(get_default_callbacks()) == 6


def test_criteria_may_come_from_yaml_as_lists_or_mappings():
    criteria = OmegaConf.create([["a", 1, "max"], {"monitor": "b", "top_k": 2}])
    found = get_default_callbacks(best_model_criterion=criteria)
    assert [(c.monitor, c.save_top_k, c.mode) for c in found[1:3]] == [
        ("a", 1, "max"),
        ("b", 2, "min"),
    ]


@pytest.mark.parametrize(
    "criterion", [["a", 1], ["a", 1, "low"], ["a", "x", "min"], "valid/loss", ["a", 0, "min"]]
)
def test_malformed_criteria_are_named(criterion):
    with pytest.raises(ConfigError, match="best_model_criterion"):
        get_default_callbacks(best_model_criterion=[criterion])


def test_averaging_runs_after_the_savers():
    callbacks = lightning.Trainer(
        accelerator="cpu", logger=CSVLogger("unused"), callbacks=get_default_callbacks()
    ).callbacks
    names = [type(callback).__name__ for callback in callbacks]
    assert names[-3:] == ["LastCheckpoint", "BestCheckpoint", "AverageCheckpointsCallback"]


def test_idle_hooks_are_hidden_and_others_stay():
    class Busy(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            return None

    busy = Busy()
    hide_idle_hooks([busy])
    assert busy.on_before_backward is None
    assert callable(busy.on_train_batch_start)
    assert callable(busy.on_train_epoch_end)


def test_link_is_relative_and_moves_on(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        point_to(tmp_path / "link", tmp_path / name)
        assert (tmp_path / "link").read_text() == name
    assert not (tmp_path / "link").readlink().is_absolute()
    assert {p.name for p in tmp_path.iterdir()} == {"one", "two", "link"}


def test_where_links_are_impossible_a_copy_is_made(tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError("no links here")

    monkeypatch.setattr(type(tmp_path), "symlink_to", refuse)
    (tmp_path / "one").write_text("one")
    point_to(tmp_path / "link", tmp_path / "one")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_text() == "one"
