"""Mel scales and filter banks, in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz, 27 steps per factor 6.4 above.
_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_KNEE_HZ = 1000.0
_SLANEY_KNEE_MEL = _SLANEY_KNEE_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = math.log(6.4) / 27.0


def hz_to_mel(hz: Tensor, *, htk: bool) -> Tensor:
    """Convert frequencies in Hz to mel on the HTK or on Slaney's scale."""
    if htk:
        return 1127.0 * torch.log1p(hz / 700.0)
    linear = hz / _SLANEY_HZ_PER_MEL
    ratio = (hz / _SLANEY_KNEE_HZ).clamp(min=1.0)
    return torch.where(
        hz < _SLANEY_KNEE_HZ, linear, _SLANEY_KNEE_MEL + ratio.log() / _SLANEY_LOG_STEP
    )


def mel_to_hz(mel: Tensor, *, htk: bool) -> Tensor:
    """Invert :func:`hz_to_mel`."""
    if htk:
        return 700.0 * torch.expm1(mel / 1127.0)
    above = _SLANEY_KNEE_HZ * torch.exp((mel - _SLANEY_KNEE_MEL).clamp(min=0.0) * _SLANEY_LOG_STEP)
    return torch.where(mel < _SLANEY_KNEE_MEL, mel * _SLANEY_HZ_PER_MEL, above)


def mel_filterbank(
    *,
    fs: int,
    n_fft: int,
    n_mels: int,
    fmin: float,
    fmax: float,
    htk: bool,
    area_norm: bool = True,
    triangles_in_mel: bool = False,
) -> Tensor:
    """Build triangular filters that overlap by half on a mel scale.

    Args:
        fs: Samples per second.
        n_fft: FFT size; there are ``n_fft // 2 + 1`` bins.
        n_mels: Number of filters.
        fmin: Lower edge of the first filter in Hz.
        fmax: Upper edge of the last filter in Hz.
        htk: Use the HTK scale instead of Slaney's.
        area_norm: Divide each filter by half its width in Hz, so that all have the same area.
        triangles_in_mel: Let the sides be straight over mel (Kaldi) instead of over Hz.

    Returns:
        Float64 tensor of shape (bins, mels), to be multiplied by a power spectrum from the right.
    """
    bins_hz = torch.linspace(0.0, fs / 2.0, n_fft // 2 + 1, dtype=torch.float64)
    # These two are looked at, also where models are laid out without numbers.
    ends = torch.tensor([fmin, fmax], dtype=torch.float64, device="cpu")
    lowest, highest = hz_to_mel(ends, htk=htk).tolist()
    edges_mel = torch.linspace(lowest, highest, n_mels + 2, dtype=torch.float64)
    edges_hz = mel_to_hz(edges_mel, htk=htk)
    if triangles_in_mel:
        points, edges = hz_to_mel(bins_hz, htk=htk), edges_mel
    else:
        points, edges = bins_hz, edges_hz
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (points.unsqueeze(1) - left) / (centre - left)
    falling = (right - points.unsqueeze(1)) / (right - centre)
    filters = torch.minimum(rising, falling).clamp(min=0.0)
    if area_norm:
        filters = filters * (2.0 / (edges_hz[2:] - edges_hz[:-2]))
    return filters
