"""Keys of the ``trainer`` section; torch and Lightning are not needed to check them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

from espnet3.components.trainers.lightning_arguments import (
    ACCELERATORS,
    LIGHTNING_ARGUMENTS,
    PRECISIONS,
    STRATEGIES,
)
from espnet3.errors import ConfigError, SettingError, did_you_mean
from espnet3.utils.settings import convert, rest

_COUNTS = ("max_epochs", "min_epochs", "max_steps", "min_steps")
_POSITIVE = ("accumulate_grad_batches", "check_val_every_n_epoch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """The ``trainer`` section: keys of our own, and arguments of ``lightning.Trainer``.

    ``accelerator``, ``strategy``, ``logger``, ``profiler`` and ``plugins`` may be a scalar, a
    mapping with ``_target_`` or a list of those.
    """

    accelerator: Any = "auto"
    strategy: Any = "auto"
    logger: Any = None
    """Null is Lightning's default logger, false is none."""
    profiler: Any = None
    plugins: Any = None
    callbacks: Any = None
    """List of mappings with ``_target_``, appended after the default callbacks."""
    log_every_n_steps: int = 50
    """Batches between two lines of the log and two points of the logger."""
    init: str | None = None
    """Another place for the top-level key ``init``."""
    matmul_precision: Literal["highest", "high", "medium"] = "high"
    """Precision of float32 matrix products on GPUs."""
    cudnn_benchmark: bool = False
    """Let cuDNN time its algorithms for each new shape; costly with varying lengths."""
    keep_last: int = 1
    """Number of full, resumable checkpoints to keep."""
    save_every_n_steps: int | None = None
    """Also save a resumable checkpoint inside the epoch, every so many optimizer steps."""
    time_limit: str | int | None = None
    """``HH:MM:SS`` after which training saves a resumable checkpoint and stops."""
    lightning: dict[str, Any] = rest(
        "further arguments of lightning.Trainer", names=LIGHTNING_ARGUMENTS
    )

    def __post_init__(self) -> None:
        if self.callbacks is not None and not isinstance(self.callbacks, list | tuple):
            raise SettingError(
                "callbacks should be a list", key="trainer.callbacks", value=self.callbacks
            )
        for name in ("keep_last", "save_every_n_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError("must be at least 1", key=f"trainer.{name}", value=value)
        for name in _COUNTS:
            # Lightning would find out after the data are loaded, with an assertion.
            count = convert(self.lightning.get(name), int | None, key=f"trainer.{name}")
            if count is not None and count < -1:
                raise SettingError(
                    "must not be negative, or -1 for no limit", key=f"trainer.{name}", value=count
                )
        _check_numbers(self.lightning)
        _check_choice("accelerator", self.accelerator, ACCELERATORS)
        _check_choice("strategy", self.strategy, STRATEGIES)
        precision = self.lightning.get("precision")
        _check_choice("precision", precision if precision is None else str(precision), PRECISIONS)
        _check_devices(self.lightning.get("devices", "auto"))
        if self.time_limit is not None:
            parse_duration(self.time_limit)

    @property
    def time_limit_seconds(self) -> float | None:
        """``time_limit`` in seconds."""
        return None if self.time_limit is None else parse_duration(self.time_limit)


def _check_numbers(lightning: Mapping[str, Any]) -> None:
    """Check numbers whose range Lightning does not check, or only after the data are loaded."""
    for name in _POSITIVE:
        # Null makes Lightning count batches across epochs; of updates there is nothing like it.
        kind = int | None if name == "check_val_every_n_epoch" else int
        value = convert(lightning.get(name, 1), kind, key=f"trainer.{name}")
        if value is not None and value < 1:
            raise SettingError("must be at least 1", key=f"trainer.{name}", value=value)
    clip = convert(
        lightning.get("gradient_clip_val"), float | None, key="trainer.gradient_clip_val"
    )
    if clip is not None and not clip >= 0:
        raise SettingError(
            "must not be negative", key="trainer.gradient_clip_val", value=clip, hint="0 is off"
        )


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Check a name that Lightning knows; anything but text is built and checked by Lightning."""
    if isinstance(value, str) and value.lower() not in choices:
        hint = did_you_mean(value, choices) or "one of " + ", ".join(choices)
        raise SettingError(
            "is not a name that Lightning knows", key=f"trainer.{name}", value=value, hint=hint
        )


def _check_devices(value: Any) -> None:
    is_valid = isinstance(value, int) and not isinstance(value, bool) and (value > 0 or value == -1)
    if isinstance(value, str):
        parts = [part.strip() for part in value.rstrip(",").split(",")]
        is_valid = value in ("auto", "-1") or all(part.isdigit() for part in parts)
    if isinstance(value, list | tuple):
        is_valid = bool(value) and all(type(index) is int and index >= 0 for index in value)
    if value is not None and not is_valid:
        raise SettingError(
            "must be a number of devices, a list of indices, auto, or -1 for all of them",
            key="trainer.devices",
            value=value,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitSettings:
    """The ``fit`` section: arguments of ``lightning.Trainer.fit`` that YAML can express."""

    ckpt_path: str | None = None
    """Checkpoint to go on from; ``auto`` for the newest of this experiment, if there is one."""
    weights_only: bool | None = None
    """Whether the checkpoint is read without running code; null means true."""


def parse_duration(text: str | int) -> float:
    """Turn ``HH:MM:SS`` into seconds.

    Raises:
        ConfigError: If the text has another form.

    Example:
        >>> parse_duration("01:30:05")
        5405.0
    """
    match = re.fullmatch(r"(\d+):([0-5]?\d):([0-5]?\d)", str(text).strip())
    if match is None:
        raise ConfigError(
            "must have the form HH:MM:SS, in quotes", key="trainer.time_limit", value=text
        )
    hours, minutes, seconds = map(int, match.groups())
    return float(3600 * hours + 60 * minutes + seconds)
