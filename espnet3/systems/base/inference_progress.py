"""How far a test set is, and how fast."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from espnet3.utils.progress import progress_bar
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


class ProgressBar:
    """A bar on a terminal that shows samples, speed and real-time factor.

    Args:
        name: Test set, shown in front.
        total: Number of samples.
        meter: Knows how much audio the model was given.
    """

    def __init__(self, name: str, total: int, meter: AudioMeter) -> None:
        self._meter = meter
        self._bar = progress_bar(total, name)
        self._count = 0

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def advance(self) -> None:
        """Count one finished sample."""
        self._count += 1
        if not self._bar.disable and self._meter.seconds:
            elapsed = self._bar.format_dict["elapsed"]
            self._bar.set_postfix_str(f"RTF {elapsed / self._meter.seconds:.3f}", refresh=False)
        self._bar.update()

    def summary(self, seconds: Seconds) -> str:
        """Return one line about a finished test set; ``seconds`` is the time that it took."""
        speed = self._count / seconds
        text = f"samples={self._count} seconds={seconds:.1f} samples_per_second={speed:.1f}"
        if self._meter.seconds:
            audio = self._meter.seconds
            text += f" audio_seconds={audio:.1f} RTF={seconds / audio:.4f}"
        return text


def find_sample_rate(dataset: Any) -> float | None:
    """Return the rate that a data set, or the one that it wraps, states for all of its audio."""
    owners = (dataset, getattr(dataset, "dataset", None))
    rates = (getattr(owner, name, None) for owner in owners for name in _RATE_KEYS)
    return next((float(rate) for rate in rates if isinstance(rate, int | float) and rate), None)


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
