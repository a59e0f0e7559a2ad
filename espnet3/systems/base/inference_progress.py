"""How far a test set is, and how fast."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from espnet3.utils.types import Seconds

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
        rate = next((data[key] for key in _RATE_KEYS if data.get(key)), self.sample_rate)
        lengths = [len(data[k]) for k in keys if len(getattr(data[k], "shape", ())) == 1]
        if self.seconds is None or rate is None or not lengths:
            self.seconds = None
        else:
            self.seconds += lengths[0] / float(rate)


_meter: ContextVar[AudioMeter | None] = ContextVar("espnet3_audio_meter", default=None)


@contextlib.contextmanager
def use_meter(meter: AudioMeter) -> Iterator[None]:
    """Let ``meter`` count the samples that are decoded inside the block."""
    token = _meter.set(meter)
    try:
        yield
    finally:
        _meter.reset(token)


def observe_samples(samples: Sequence[Any], keys: Sequence[str]) -> None:
    """Tell the meter of the innermost :func:`use_meter` block, if any, about samples."""
    meter = _meter.get()
    if meter is not None:
        for data in samples:
            meter.add(data, keys)
