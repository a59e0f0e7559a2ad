"""Translate the ``trainer`` section into a Lightning trainer."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import (
    Callback,
    Checkpoint,
    LearningRateMonitor,
    ProgressBar,
)
from omegaconf import DictConfig, ListConfig, OmegaConf

from espnet3.components.callbacks.default_callbacks import MetricsLogger, get_default_callbacks
from espnet3.components.callbacks.effective_run import EffectiveRun
from espnet3.components.callbacks.graceful_stop import GracefulStop
from espnet3.components.callbacks.idle_hooks import hide_idle_hooks
from espnet3.components.callbacks.last_checkpoint import LastCheckpoint
from espnet3.components.callbacks.monitor_check import MonitorCheck
from espnet3.components.callbacks.settings import read_criteria
from espnet3.components.modeling.initialize import initialize
from espnet3.components.trainers.checkpoint_io import AtomicCheckpointIO
from espnet3.components.trainers.quiet import quiet_lightning
from espnet3.components.trainers.settings import TrainerSettings
from espnet3.components.trainers.world_size import check_world_size
from espnet3.errors import ConfigError, SettingError
from espnet3.utils.config_utils import instantiate_config, to_plain
from espnet3.utils.instantiate import building
from espnet3.utils.settings import parse_settings

logger = logging.getLogger(__name__)

_COMPONENTS = ("accelerator", "strategy", "logger", "profiler", "plugins")
_REPLACEABLE = (LearningRateMonitor, ProgressBar, MetricsLogger)


class ESPnet3LightningTrainer:
    """Train a Lightning module with the settings of the ``trainer`` section.

    The ``lightning.Trainer`` itself is made when it is first needed, so statistics can be
    collected without loggers, devices or a complete section.

    Args:
        model: Module to train.
        exp_dir: Folder for checkpoints and logs.
        config: The ``trainer`` section: mapping, ``DictConfig`` or ``Namespace``. Never modified.
        best_model_criterion: ``[metric, number to keep, min or max]`` for each kind of best
            checkpoint; default ``valid/loss``, 3, ``min``.

    Raises:
        TypeError: If an argument is missing or of the wrong type.
        ConfigError: If the section has an unknown key or a wrong value.

    Attributes:
        config: Effective settings.
        model: The module.
        trainer: The ``lightning.Trainer``.
    """

    def __init__(
        self,
        model: Any = None,
        exp_dir: Any = None,
        config: Any = None,
        best_model_criterion: Any = None,
    ) -> None:
        _check_type("model", model, (lightning.LightningModule,))
        _check_type("exp_dir", exp_dir, (str, Path))
        _check_type("config", config, (DictConfig, Mapping, Namespace))
        if best_model_criterion is not None:
            _check_type("best_model_criterion", best_model_criterion, (Sequence, ListConfig))
        self.model: lightning.LightningModule = model
        self.exp_dir = Path(exp_dir)
        section = dict(vars(config)) if isinstance(config, Namespace) else dict(to_plain(config))
        self._settings = parse_settings(section, TrainerSettings, key="trainer")
        self._criteria = best_model_criterion
        read_criteria(best_model_criterion)
        section.update(self._loader_settings())
        self.config = OmegaConf.create(section, flags={"allow_objects": True})
        self._initialize_model()
        self._trainer: lightning.Trainer | None = None

    @property
    def trainer(self) -> lightning.Trainer:
        """The Lightning trainer, made on first use."""
        if self._trainer is None:
            arguments = self._arguments()
            with quiet_lightning(), building("trainer"):
                trainer = lightning.Trainer(**arguments)
            check_world_size(trainer)
            if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
                trainer.strategy.checkpoint_io = AtomicCheckpointIO()
            self._trainer = trainer
        return self._trainer

    def add_callback(self, callback: Callback) -> None:
        """Let one more callback take part; it is called after those of the configuration."""
        hide_idle_hooks([callback])
        self.trainer.callbacks.append(callback)  # type: ignore[attr-defined]

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train; arguments go to ``lightning.Trainer.fit``."""
        trainer = self.trainer
        with quiet_lightning():
            trainer.fit(*args, model=self.model, **kwargs)  # type: ignore[misc]

    def validate(self, *args: Any, **kwargs: Any) -> Any:
        """Validate; arguments go to ``lightning.Trainer.validate``, whose result is returned."""
        trainer = self.trainer
        with quiet_lightning():
            return trainer.validate(*args, model=self.model, **kwargs)  # type: ignore[misc]

    def collect_stats(self, *args: Any, **kwargs: Any) -> Any:
        """Collect feature statistics; arguments go to the module's ``collect_stats``."""
        return self.model.collect_stats(*args, **kwargs)  # type: ignore[operator]

    def _loader_settings(self) -> dict[str, Any]:
        """Return what an iterator factory needs: a new iterator in each epoch, its own sharding."""
        if not getattr(self.model, "is_espnet_sampler", False):
            return {}
        forced = {"reload_dataloaders_every_n_epochs": 1, "use_distributed_sampler": False}
        for key, value in forced.items():
            given = self._settings.lightning.get(key, value)
            if given != value:
                logger.warning("trainer.%s: iter_factory needs %s, not %s", key, value, given)
        return forced

    def _initialize_model(self) -> None:
        config = getattr(self.model, "config", None)
        top_level = config.get("init") if isinstance(config, DictConfig | Mapping) else None
        method = self._settings.init or top_level
        if method is None:
            return
        if top_level not in (None, method):
            raise SettingError(
                f"differs from init = {top_level!r}; set only one", key="trainer.init", value=method
            )
        initialize(getattr(self.model, "model", self.model), method)

    def _arguments(self) -> dict[str, Any]:
        settings = self._settings
        arguments: dict[str, Any] = {
            "benchmark": settings.cudnn_benchmark,
            "default_root_dir": str(self.exp_dir),
            "enable_model_summary": False,
            **settings.lightning,
            **self._loader_settings(),
            "log_every_n_steps": settings.log_every_n_steps,
        }
        for name in _COMPONENTS:
            value = _build_component(getattr(settings, name), f"trainer.{name}")
            if value is not None:
                arguments[name] = value
        if isinstance(arguments.get("profiler"), list):
            arguments["profiler"] = _only_one(arguments["profiler"])
        arguments["callbacks"] = self._build_callbacks()
        return arguments

    def _build_callbacks(self) -> list[Callback]:
        settings = self._settings
        defaults = get_default_callbacks(
            exp_dir=str(self.exp_dir),
            log_interval=settings.log_every_n_steps,
            best_model_criterion=self._criteria,
            keep_last=settings.keep_last,
            save_every_n_steps=settings.save_every_n_steps,
        )
        own: list[Callback] = [
            entry
            if isinstance(entry, Callback)
            else instantiate_config(entry, key=f"trainer.callbacks[{index}]")
            for index, entry in enumerate(settings.callbacks or [])
        ]
        defaults = [c for c in defaults if self._is_allowed(c) and not _is_replaced(c, own)]
        last = next((c for c in defaults if isinstance(c, LastCheckpoint)), None)
        stop = GracefulStop(settings.time_limit_seconds, last)
        report = EffectiveRun(self.exp_dir)
        check = MonitorCheck(own)
        hide_idle_hooks([*defaults, check, stop, report])
        return [*defaults, check, *own, stop, report]

    def _is_allowed(self, callback: Callback) -> bool:
        """Tell whether the run can have a default callback; Lightning refuses some combinations."""
        options = self._settings.lightning
        if isinstance(callback, LearningRateMonitor):
            return self._settings.logger is not False
        if isinstance(callback, ProgressBar):
            return bool(options.get("enable_progress_bar", True))
        if isinstance(callback, Checkpoint):
            return bool(options.get("enable_checkpointing", True))
        return True


def _build_component(value: Any, key: str) -> Any:
    if isinstance(value, list | tuple):
        return [_build_component(item, f"{key}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return instantiate_config(value, key=key)
    return value


def _only_one(profilers: list[Any]) -> Any:
    if len(profilers) != 1:
        raise ConfigError("only one profiler can run", key="trainer.profiler")
    return profilers[0]


def _is_replaced(default: Callback, own: Sequence[Callback]) -> bool:
    for kind in _REPLACEABLE:
        other = next((c for c in own if isinstance(c, kind)), None)
        if isinstance(default, kind) and other is not None:
            logger.info("%s takes the place of the default one", type(other).__name__)
            return True
    return False


def _check_type(name: str, value: Any, expected: tuple[type, ...]) -> None:
    if isinstance(value, expected):
        return
    wanted = " or ".join(kind.__name__ for kind in expected)
    raise TypeError(f"{name} must be a {wanted}, it is {type(value).__name__}")
