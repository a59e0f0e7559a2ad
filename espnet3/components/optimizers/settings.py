"""Optimization keys at the top level of ``training.yaml``; torch is not needed to check them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from espnet3.errors import ConfigError, MissingConfigError, SettingError
from espnet3.utils.config_utils import to_plain

_NEITHER = "Must specify either `optimizer` or `optimizers` and `scheduler` or`schedulers` "
INTERVALS = ("step", "epoch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmupLRSettings:
    """Arguments of ``WarmupLR``."""

    warmup_steps: float = 25000
    """Updates until the peak."""
    last_epoch: int = -1
    """Updates done before; -1 for a fresh run."""

    def __post_init__(self) -> None:
        if self.warmup_steps < 1:
            raise SettingError("must be at least 1", key="warmup_steps", value=self.warmup_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearWarmupCosineLRSettings:
    """Arguments of ``LinearWarmupCosineLR``."""

    warmup_steps: int
    """Updates until the peak; 0 starts at the peak."""
    max_steps: int
    """Update at which ``min_lr`` is reached; later updates stay there."""
    min_lr: float = 0.0
    """Final learning rate."""
    last_epoch: int = -1
    """Updates done before; -1 for a fresh run."""

    def __post_init__(self) -> None:
        _check_warmup(self.warmup_steps)
        _check_after("max_steps", self.max_steps, "warmup_steps", self.warmup_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmupStableDecayLRSettings:
    """Arguments of ``WarmupStableDecayLR``."""

    warmup_steps: int
    """Updates until the plateau; 0 starts on it."""
    decay_start: int
    """Last update of the plateau."""
    max_steps: int
    """Update at which ``min_lr`` is reached; later updates stay there."""
    min_lr: float = 0.0
    """Final learning rate."""
    last_epoch: int = -1
    """Updates done before; -1 for a fresh run."""

    def __post_init__(self) -> None:
        _check_warmup(self.warmup_steps)
        if self.decay_start < self.warmup_steps:
            raise SettingError(
                f"must not be before warmup_steps = {self.warmup_steps}",
                key="decay_start",
                value=self.decay_start,
            )
        _check_after("max_steps", self.max_steps, "decay_start", self.decay_start)


def _check_warmup(steps: int) -> None:
    if steps < 0:
        raise SettingError("must not be negative", key="warmup_steps", value=steps)


def _check_after(key: str, value: int, before: str, limit: int) -> None:
    if value <= limit:
        raise SettingError(f"must be larger than {before} = {limit}", key=key, value=value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizationSettings:
    """One optimizer over all trainable parameters, with or without a schedule."""

    optimizer: dict[str, Any]
    """Mapping with ``_target_``; ``param_groups`` and ``no_decay`` see ``build_optimizer``."""
    scheduler: dict[str, Any] | None = None
    """Mapping with ``_target_``; null keeps the learning rate constant."""
    interval: str = "step"
    """When the schedule advances: after each optimizer ``step`` or after each ``epoch``."""
    monitor: str | None = None
    """Metric that a schedule such as ``ReduceLROnPlateau`` follows."""


def read_optimization(config: Any) -> OptimizationSettings:
    """Read and check the optimization keys of a training configuration.

    Args:
        config: The whole training configuration; other keys are ignored.

    Raises:
        SettingError: If keys exclude each other or a value is out of range.
        ConfigError: If named optimizers are asked for.
        MissingConfigError: If there is no optimizer.
    """
    plain = to_plain(config) or {}
    given = {key: plain[key] for key in _KEYS if plain.get(key) is not None}
    for one, many in (("optimizer", "optimizers"), ("scheduler", "schedulers")):
        if one in given and many in given:
            raise SettingError(f"Mixture of `{one}` and `{many}` is not allowed.", key=many)
    if "optimizers" in given and "schedulers" in given:
        raise ConfigError(
            "several named optimizers are not supported by this version",
            key="optimizers",
            hint="use `optimizer` (and `scheduler`) with one optimizer; its `param_groups` give"
            " parts of the model their own learning rate",
        )
    if "optimizer" not in given:
        raise MissingConfigError(
            _NEITHER, key="optimizer", hint="for example optimizer: {_target_: torch.optim.AdamW}"
        )
    interval = given.get("scheduler_interval", "step")
    if interval not in INTERVALS:
        raise SettingError("must be step or epoch", key="scheduler_interval", value=interval)
    return OptimizationSettings(
        optimizer=_section(given, "optimizer"),
        scheduler=_section(given, "scheduler") if "scheduler" in given else None,
        interval=interval,
        monitor=given.get("scheduler_monitor"),
    )


_KEYS = (
    "optimizer",
    "scheduler",
    "scheduler_interval",
    "scheduler_monitor",
    "optimizers",
    "schedulers",
)


def _section(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    section = given[key]
    if not isinstance(section, Mapping):
        raise ConfigError("must be a mapping with `_target_`", key=key, value=section)
    if "_target_" not in section:
        raise MissingConfigError("needs a `_target_` that names a class", key=key)
    return dict(section)
