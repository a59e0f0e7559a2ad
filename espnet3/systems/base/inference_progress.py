"""How far a test set is, and how fast."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, get_args

from espnet3.components.inference.settings import ProgressStyle
from espnet3.errors import SettingError
from espnet3.systems.base.inference_outcome import Outcome
from espnet3.utils.progress import progress_bar
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)

STYLE_VARIABLE = "ESPNET3_PROGRESS"
_LOG_EVERY: Seconds = 30.0
_SHOW_EVERY: Seconds = 0.5
_RATE_KEYS = ("sample_rate", "sr", "fs")


class AudioMeter:
    """Adds up the duration of the audio that a model is given.

    Args:
        sample_rate: Samples per second where a sample does not say it itself.
    """

    def __init__(self, sample_rate: float | None = None) -> None:
        self.sample_rate = sample_rate
        self.seconds: Seconds | None = 0.0
        """Audio so far; ``None`` once a duration is unknown."""

    def add(self, data: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Count one sample by its first one-dimensional input."""
        if self.seconds is None:
            return
        rate = data.get("sample_rate") or data.get("sr") or data.get("fs") or self.sample_rate
        self.seconds = None if rate is None else self._grown(data, keys, float(rate))

    def _grown(self, data: Mapping[str, Any], keys: Sequence[str], rate: float) -> Seconds | None:
        for key in keys:
            shape: Sequence[Any] = getattr(data.get(key), "shape", ())
            if len(shape) == 1:
                return (self.seconds or 0.0) + int(shape[0]) / rate
        return None


class Progress:
    """A bar on a terminal, or a line in the log now and then: samples, speed, real-time factor.

    Args:
        name: Test set, shown in front.
        total: Number of samples.
        initial: Samples that an earlier run has finished.
        num_workers: Processes that decode, shown where there are several.
        style: ``auto``, ``bar``, ``log`` or ``none``; the environment variable
            ``ESPNET3_PROGRESS`` is stronger.

    Raises:
        SettingError: If the variable has another value.
    """

    def __init__(
        self,
        name: str,
        total: int,
        initial: int = 0,
        *,
        num_workers: int = 1,
        style: ProgressStyle = "auto",
    ) -> None:
        self._name = name
        self._total = total
        self._initial = initial
        self._num_workers = num_workers
        self._style = _read_style(style)
        shown = None if self._style == "auto" else self._style == "bar"
        self._bar = progress_bar(total, name, initial=initial, shown=shown)
        self.cost = 0.0
        """Work in all batches to decode, in the unit of their costs; 0 if unknown."""
        self._started = self._shown = time.perf_counter()
        self._count = 0
        self._failed = 0
        self._audio: Seconds | None = 0.0
        self._cost_done = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    @property
    def seconds(self) -> Seconds:
        """Time since the start."""
        return time.perf_counter() - self._started

    def advance(self, count: int, outcome: Outcome) -> None:
        """Count finished samples, and what came of the batches that they were in."""
        failed, audio = len(outcome.failures), outcome.audio_seconds
        self._count += count
        self._failed += failed
        self._cost_done += outcome.cost
        known = self._audio is not None and audio is not None
        self._audio = self._audio + audio if known else None  # type: ignore[operator]
        now = time.perf_counter()
        if now - self._shown > (_LOG_EVERY if self._bar.disable else _SHOW_EVERY):
            self._shown = now
            if self._bar.disable and self._style != "none":
                logger.info("%s", self._line())
            self._bar.set_postfix_str(self._speed(self.seconds), refresh=False)
        self._bar.update(count + failed)

    def summary(self) -> str:
        """Return one line about a finished test set."""
        seconds = max(self.seconds, 1e-9)
        text = f"samples={self._count} seconds={seconds:.1f}"
        text += f" samples_per_second={self._count / seconds:.1f}"
        if self._audio:
            text += f" audio_seconds={self._audio:.1f} RTF={seconds / self._audio:.4f}"
        return text + (f" failed={self._failed}" if self._failed else "")

    def _line(self) -> str:
        done = self._initial + self._count + self._failed
        speed = (self._count + self._failed) / self.seconds
        line = f"{self._name} {done}/{self._total} {100 * done // self._total}% | {speed:.1f} utt/s"
        return " ".join(filter(None, [line, self._speed(self.seconds), "|", self._rest()]))

    def _rest(self) -> str:
        """Return the remaining time by cost, because sorted samples become shorter."""
        part = self._cost_done / self.cost if self.cost else 0.0
        left = str(timedelta(seconds=round(self.seconds * (1 / part - 1)))) if part else "unknown"
        workers = f" | {self._num_workers} workers" if self._num_workers > 1 else ""
        return f"ETA {left}{workers}" + (f" | {self._failed} failed" if self._failed else "")

    def _speed(self, seconds: Seconds) -> str:
        return f"RTFx {self._audio / seconds:.0f}" if self._audio else ""


def _read_style(style: ProgressStyle) -> ProgressStyle:
    value = os.environ.get(STYLE_VARIABLE) or style
    if value not in get_args(ProgressStyle):
        raise SettingError(
            f"must be one of {', '.join(get_args(ProgressStyle))}", key=STYLE_VARIABLE, value=value
        )
    return value  # type: ignore[return-value]


def find_sample_rate(dataset: Any) -> float | None:
    """Return the rate that a data set, or the one that it wraps, states for all of its audio."""
    owners = (dataset, getattr(dataset, "dataset", None))
    rates = (getattr(owner, name, None) for owner in owners for name in _RATE_KEYS)
    return next((float(rate) for rate in rates if isinstance(rate, int | float) and rate), None)
