"""A picture of a recording."""

from __future__ import annotations

from typing import Any

import numpy as np

from espnet3.utils.types import Hz

_WINDOW_SECONDS = 0.025
_MAX_COLUMNS = 600
_MAX_HZ = 8000
_RANGE_DB = 70.0
_COLORS = np.array(
    [(13, 8, 40), (68, 20, 100), (150, 40, 105), (225, 90, 70), (250, 170, 70), (252, 250, 200)],
    dtype=np.float64,
)
"""From silence to the loudest point."""


def draw_spectrogram(samples: np.ndarray[Any, Any], rate: Hz) -> np.ndarray[Any, Any]:
    """Return a log-magnitude spectrogram as a picture, low frequencies at the bottom.

    Args:
        samples: Mono waveform, shape (S,).
        rate: Samples per second.

    Returns:
        RGB values, uint8, shape (bins, frames, 3); 70 dB below the loudest point is dark.
    """
    width = max(16, int(rate * _WINDOW_SECONDS))
    padded = np.pad(np.asarray(samples, np.float64), (width // 2, width - width // 2))
    hop = max(1, len(samples) // _MAX_COLUMNS)
    frames = np.lib.stride_tricks.sliding_window_view(padded, width)[::hop][:_MAX_COLUMNS]
    size = max(512, 1 << (width - 1).bit_length())
    power = np.abs(np.fft.rfft(frames * np.hanning(width), size)) ** 2
    power = power[:, : 1 + int(size * min(_MAX_HZ, rate / 2) / rate)]
    decibels = 10 * np.log10(power + 1e-10)
    level = np.clip((decibels - decibels.max()) / _RANGE_DB + 1, 0, 1).T[::-1]
    steps = np.linspace(0, 1, len(_COLORS))
    channels = [np.interp(level, steps, _COLORS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)
