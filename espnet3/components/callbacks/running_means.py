"""Means over the batches of a window and of an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_FLUSH = 1000


class RunningMeans:
    """Average values of batches without waiting for the device that computes them.

    Tensors are kept as they are until a mean is asked for. Values that are not finite belong to
    batches that were skipped and do not count.
    """

    def __init__(self) -> None:
        self._window: dict[str, list[Any]] = {}
        self._window_sums: dict[str, tuple[float, int]] = {}
        self._epoch_sums: dict[str, tuple[float, int]] = {}
        self.batches = 0
        """Batches since the window began."""

    def add(self, values: Mapping[str, Any]) -> None:
        """Take the values of one batch."""
        self.batches += 1
        for name, value in values.items():
            self._window.setdefault(name, []).append(value)
        if self.batches % _FLUSH == 0:
            self._flush()

    def close_window(self) -> dict[str, float]:
        """Return the means since the last call and begin a new window."""
        self._flush()
        means = _means(self._window_sums)
        for name, (total, count) in self._window_sums.items():
            before, number = self._epoch_sums.get(name, (0.0, 0))
            self._epoch_sums[name] = (before + total, number + count)
        self._window_sums = {}
        self.batches = 0
        return means

    def close_epoch(self) -> dict[str, float]:
        """Return the means over the epoch and begin a new one."""
        self.close_window()
        means = _means(self._epoch_sums)
        self._epoch_sums = {}
        return means

    def _flush(self) -> None:
        for name, values in self._window.items():
            numbers = [v for v in _numbers(values) if math.isfinite(v)]
            total, count = self._window_sums.get(name, (0.0, 0))
            self._window_sums[name] = (total + math.fsum(numbers), count + len(numbers))
        self._window = {}


def _numbers(values: list[Any]) -> list[float]:
    if all(isinstance(value, Tensor) for value in values):
        stacked: list[float] = torch.stack([v.detach().reshape(()) for v in values]).tolist()
        return [float(v) for v in stacked]
    return [float(value) for value in values]


def _means(sums: Mapping[str, tuple[float, int]]) -> dict[str, float]:
    return {k: total / count if count else math.nan for k, (total, count) in sums.items()}
