from __future__ import annotations

import copy
import inspect
from argparse import Namespace
from typing import get_args

import lightning
import pytest
import torch
from lightning.fabric.connector import _PRECISION_INPUT
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import StrategyRegistry
from omegaconf import OmegaConf

from espnet3.components.callbacks.default_callbacks import (
    AverageCheckpointsCallback,
    MetricsLogger,
)
from espnet3.components.callbacks.last_checkpoint import LastCheckpoint
from espnet3.components.modeling.lightning_module import ESPnetLightningModule
from espnet3.components.trainers.lightning_arguments import (
    ACCELERATORS,
    LIGHTNING_ARGUMENTS,
    PRECISIONS,
    STRATEGIES,
)
from espnet3.components.trainers.settings import TrainerSettings, parse_duration
from espnet3.components.trainers.trainer import ESPnet3LightningTrainer
from espnet3.errors import ConfigError, SettingError, UnknownKeyError
from espnet3.utils.settings import parse_settings
from tests.unit.components.toy_training import ToyModel, toy_config

SECTION = {"accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_progress_bar": False}


def make_module(**changes):
    return ESPnetLightningModule(ToyModel(), toy_config("unused", **changes))


def make_trainer(tmp_path, module=None, **section):
    return ESPnet3LightningTrainer(module or make_module(), tmp_path, {**SECTION, **section})


def kinds(trainer):
    return [type(callback).__name__ for callback in trainer.trainer.callbacks]


def test_table_of_arguments_is_that_of_the_installed_lightning():
    parameters = inspect.signature(lightning.Trainer.__init__).parameters
    assert tuple(name for name in parameters if name != "self") == LIGHTNING_ARGUMENTS


def test_the_names_that_lightning_knows():
    names = {*AcceleratorRegistry.available_accelerators(), "auto", "gpu"}
    assert set(ACCELERATORS) == names
    assert set(STRATEGIES) == {*StrategyRegistry.available_strategies(), "auto"}
    known = [text for part in get_args(_PRECISION_INPUT) for text in get_args(part)]
    assert set(PRECISIONS) == {str(text) for text in known}


@pytest.mark.parametrize("value", [1, 4, -1, "auto", "2", "0,1", "-1", [0], [1, 3], None])
def test_forms_of_devices(value):
    assert TrainerSettings(lightning={"devices": value}).lightning["devices"] == value


@pytest.mark.parametrize("value", [0, -2, "abc", "1,x", [], ["0"], True, 1.5, {"a": 1}])
def test_devices_that_cannot_be(value):
    with pytest.raises(SettingError, match="trainer.devices"):
        TrainerSettings(lightning={"devices": value})


@pytest.mark.parametrize(
    "options",
    [
        {"accelerator": "gpuu"},
        {"strategy": "dppp"},
        {"lightning": {"precision": "bf17"}},
        {"lightning": {"precision": 17}},
    ],
)
def test_names_that_lightning_does_not_know(options):
    with pytest.raises(SettingError, match="is not a name that Lightning knows"):
        TrainerSettings(**options)


def test_components_and_numbers_are_left_to_lightning():
    TrainerSettings(accelerator={"_target_": "x.Y"}, strategy="DDP", lightning={"precision": 16})
    TrainerSettings(lightning={"precision": None})


@pytest.mark.parametrize("kind", [dict, OmegaConf.create, lambda section: Namespace(**section)])
def test_every_kind_of_section_works_and_stays_unchanged(tmp_path, kind):
    section = kind({**SECTION, "callbacks": [], "devices": 1})
    before = copy.deepcopy(section)
    for _ in range(2):
        trainer = ESPnet3LightningTrainer(make_module(), tmp_path, section)
        assert trainer.trainer.max_epochs == 1
    assert section == before
    assert trainer.config.max_epochs == 1


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"exp_dir": "x", "config": {}}, "model"),
        ({"model": torch.nn.Linear(1, 1), "exp_dir": "x", "config": {}}, "model"),
        ({"model": lightning.LightningModule(), "config": {}}, "exp_dir"),
        ({"model": lightning.LightningModule(), "exp_dir": "x"}, "config"),
        ({"model": lightning.LightningModule(), "exp_dir": "x", "config": 3}, "config"),
    ],
)
def test_missing_and_wrong_arguments_are_named(arguments, name):
    with pytest.raises(TypeError, match=f"^{name} must be"):
        ESPnet3LightningTrainer(**arguments)


def test_nothing_of_lightning_is_made_before_it_is_needed(tmp_path):
    trainer = make_trainer(tmp_path, logger={"_target_": "no.such.Logger"})
    with pytest.raises(ConfigError, match=r"trainer\.logger"):
        _ = trainer.trainer


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (None, 1),
        (False, 0),
        ({"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "x"}, 1),
        ([{"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "x"}] * 2, 2),
    ],
)
def test_logger_may_be_absent_scalar_mapping_or_list(tmp_path, value, count):
    loggers = make_trainer(tmp_path, logger=value).trainer.loggers
    assert len(loggers) == count
    assert all(isinstance(logger, CSVLogger) for logger in loggers)


@pytest.mark.parametrize(
    "strategy", ["auto", {"_target_": "lightning.pytorch.strategies.SingleDeviceStrategy"}]
)
def test_strategy_may_be_scalar_or_mapping(tmp_path, strategy):
    assert make_trainer(tmp_path, strategy=strategy).trainer.strategy is not None


def test_profiler_list_of_one_is_that_profiler(tmp_path):
    node = {"_target_": "lightning.pytorch.profilers.PassThroughProfiler"}
    profiler = make_trainer(tmp_path, profiler=[node]).trainer.profiler
    assert type(profiler).__name__ == "PassThroughProfiler"
    with pytest.raises(ConfigError, match="only one profiler"):
        _ = make_trainer(tmp_path, profiler=[node, node]).trainer


@pytest.mark.parametrize(
    ("section", "missing"),
    [
        ({}, {"LearningRateMonitor", "EpochProgressBar"}),
        ({"enable_checkpointing": False}, {"LastCheckpoint", "BestCheckpoint"}),
    ],
)
def test_callbacks_that_the_run_forbids_are_left_out(tmp_path, section, missing):
    trainer = make_trainer(tmp_path, **section)
    assert not missing & set(kinds(trainer))
    trainer.fit()


def test_user_callbacks_come_after_the_defaults_and_replace_their_kind(tmp_path):
    section = {
        **SECTION,
        "logger": None,
        "callbacks": [
            {"_target_": "lightning.pytorch.callbacks.LearningRateMonitor"},
            {
                "_target_": "espnet3.components.callbacks.default_callbacks.MetricsLogger",
                "log_every_n_steps": 7,
            },
        ],
    }
    found = ESPnet3LightningTrainer(make_module(), tmp_path, section).trainer.callbacks
    assert sum(isinstance(c, LearningRateMonitor) for c in found) == 1
    (metrics,) = [c for c in found if isinstance(c, MetricsLogger)]
    assert metrics.log_every_n_steps == 7
    assert isinstance(found[-1], AverageCheckpointsCallback)


def test_callbacks_must_be_a_list(tmp_path):
    with pytest.raises(AssertionError, match="callbacks should be a list"):
        make_trainer(tmp_path, callbacks={"_target_": "x"})


def test_unknown_key_names_the_nearest(tmp_path):
    with pytest.raises(UnknownKeyError, match='trainer.max_epoch(.|\n)*"max_epochs"'):
        make_trainer(tmp_path, max_epoch=3)


@pytest.mark.parametrize(
    "section",
    [
        {"keep_last": 0},
        {"save_every_n_steps": 0},
        {"accumulate_grad_batches": 0},
        {"accumulate_grad_batches": None},
        {"check_val_every_n_epoch": 0},
        {"check_val_every_n_epoch": 1.5},
        {"gradient_clip_val": -1.0},
        {"gradient_clip_val": "one"},
        {"time_limit": "2h"},
        {"matmul_precision": "low"},
        {"log_every_n_steps": "often"},
    ],
)
def test_values_out_of_range_are_refused_with_their_key(section):
    with pytest.raises(ConfigError, match=f"trainer.{next(iter(section))}"):
        parse_settings(section, TrainerSettings, key="trainer")


def test_duration():
    assert parse_duration("100:00:01") == 360001.0


def test_iterator_mode_forces_two_settings_and_plain_mode_none(tmp_path, caplog):
    module = make_module()
    plain = make_trainer(tmp_path, module, reload_dataloaders_every_n_epochs=3)
    assert plain.config.reload_dataloaders_every_n_epochs == 3
    assert "use_distributed_sampler" not in plain.config
    module.is_espnet_sampler = True
    forced = make_trainer(tmp_path, module, reload_dataloaders_every_n_epochs=3)
    assert forced.config.reload_dataloaders_every_n_epochs == 1
    assert forced.config.use_distributed_sampler is False
    assert forced.trainer.reload_dataloaders_every_n_epochs == 1
    assert "reload_dataloaders_every_n_epochs" in caplog.text


@pytest.mark.parametrize("place", ["top", "trainer"])
def test_init_works_in_both_places_and_does_not_reach_lightning(tmp_path, place):
    module = make_module(**({"init": "normal"} if place == "top" else {}))
    module.model.encoder.bias.data.fill_(1.0)
    trainer = make_trainer(tmp_path, module, **({"init": "normal"} if place == "trainer" else {}))
    assert torch.count_nonzero(module.model.encoder.bias) == 0
    assert trainer.trainer is not None


def test_init_in_both_places_must_agree(tmp_path):
    with pytest.raises(SettingError, match=r"trainer\.init"):
        make_trainer(tmp_path, make_module(init="normal"), init="chainer")


def test_fit_and_validate_forward_their_arguments(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.fit()
    (result,) = trainer.validate()
    assert set(result) == {"valid/loss"}


def test_collect_stats_is_the_modules(tmp_path, monkeypatch):
    module = make_module()
    monkeypatch.setattr(module, "collect_stats", lambda value: value + 1)
    assert make_trainer(tmp_path, module).collect_stats(3) == 4


def test_time_limit_stops_in_the_epoch_and_the_run_goes_on_there(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, time_limit="00:00:00", max_epochs=2)
    trainer.fit()
    assert trainer.trainer.global_step == 1
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    progress = content["loops"]["fit_loop"]["epoch_progress"]["current"]
    assert (content["global_step"], progress["processed"]) == (1, 0)
    again = make_trainer(tmp_path, max_epochs=2)
    with pytest.warns(UserWarning, match="not resumable"):
        again.fit(ckpt_path=str(tmp_path / "last.ckpt"))
    assert again.trainer.global_step == 4


def test_keep_last_keeps_the_newest(tmp_path):
    make_trainer(tmp_path, max_epochs=4, keep_last=2).fit()
    found = {path.name for path in tmp_path.glob("step*.ckpt")}
    assert found == {"step6.ckpt", "step8.ckpt"}
    assert any(isinstance(c, LastCheckpoint) for c in make_trainer(tmp_path).trainer.callbacks)


def test_checkpoints_inside_an_epoch_follow_optimizer_steps(tmp_path):
    section = {"save_every_n_steps": 1, "keep_last": 9, "accumulate_grad_batches": 2}
    make_trainer(tmp_path, max_epochs=2, **section).fit()
    found = {path.name for path in tmp_path.glob("step*.ckpt")}
    assert found == {"step1.ckpt", "step2.ckpt"}


@pytest.mark.parametrize("name", ["max_epochs", "max_steps", "accumulate_grad_batches"])
def test_a_count_that_is_no_number_is_named(name):
    with pytest.raises(ConfigError, match=rf"trainer\.{name} = 'abc': expected int"):
        parse_settings({name: "abc"}, TrainerSettings, key="trainer")
