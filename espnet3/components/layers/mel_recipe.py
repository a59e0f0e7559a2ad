"""Families of log-mel features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from espnet3.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class MelRecipe:
    """Everything that tells one family of log-mel features from another."""

    n_fft: int = 512
    win_length: int | None = None
    hop_length: int = 128
    window: str = "hann"
    center: bool = True
    n_mels: int = 80
    fmin: float = 0.0
    fmax: float | None = None
    htk: bool = False
    area_norm: bool = True
    triangles_in_mel: bool = False
    compression: Literal["ln", "whisper"] = "ln"
    floor: float = 1e-10
    drops_last_frame: bool = False
    removes_dc: bool = False
    preemphasis: float = 0.0
    scale: float = 1.0
    frame_spans_fft: bool = True
    """Whether an uncentred frame takes ``n_fft`` samples (else ``win_length``)."""


def read_rate(fs: int | str) -> int:
    """Return samples per second; ``16k`` is 16000, as in recipes of ESPnet2.

    Raises:
        ConfigError: If it is no number.
    """
    if isinstance(fs, int):
        return fs
    text = fs.strip().lower()
    try:
        return round(float(text.removesuffix("k")) * (1000 if text.endswith("k") else 1))
    except ValueError as error:
        raise ConfigError(
            "is no sample rate", key="fs", value=fs, hint="for example 16000 or 16k"
        ) from error


def _espnet2(fs: int) -> MelRecipe:
    return MelRecipe()


def _whisper(fs: int) -> MelRecipe:
    if fs != 16000:
        raise ConfigError("the whisper preset is defined for 16000 Hz only", key="fs", value=fs)
    return MelRecipe(n_fft=400, hop_length=160, compression="whisper", drops_last_frame=True)


def _kaldi(fs: int) -> MelRecipe:
    win_length = fs * 25 // 1000
    return MelRecipe(
        n_fft=1 << (win_length - 1).bit_length(),
        win_length=win_length,
        hop_length=fs * 10 // 1000,
        window="povey",
        center=False,
        fmin=20.0,
        htk=True,
        area_norm=False,
        triangles_in_mel=True,
        floor=torch.finfo(torch.float32).eps,
        removes_dc=True,
        preemphasis=0.97,
        scale=2.0**15,
        frame_spans_fft=False,
    )


_PRESETS = {"espnet2": _espnet2, "whisper": _whisper, "kaldi": _kaldi}


def resolve_recipe(preset: str, fs: int, given: Mapping[str, Any]) -> MelRecipe:
    """Return a preset with the given values that are not ``None`` in place of its own."""
    if preset not in _PRESETS:
        hint = did_you_mean(preset, _PRESETS) or "known presets: " + ", ".join(_PRESETS)
        raise ConfigError("is not a known preset", key="preset", value=preset, hint=hint)
    explicit = {name: value for name, value in given.items() if value is not None}
    return replace(_PRESETS[preset](fs), **explicit)


_MAX_FFT = 2**16
"""A third of a second at 192 kHz."""


def check_sizes(recipe: MelRecipe, win_length: int, fs: int) -> None:
    """Raise unless the sizes of an analysis fit together."""
    if not 0 < recipe.n_fft <= _MAX_FFT:
        raise ConfigError(f"must lie between 1 and {_MAX_FFT}", key="n_fft", value=recipe.n_fft)
    if recipe.n_fft % 2:
        raise ConfigError("must be even", key="n_fft", value=recipe.n_fft)
    if win_length > recipe.n_fft:
        raise ConfigError(
            f"must not exceed n_fft = {recipe.n_fft}", key="win_length", value=win_length
        )
    fmax = recipe.fmax or fs / 2
    if not 0.0 <= recipe.fmin < fmax <= fs / 2:
        raise ConfigError(
            f"need 0 <= fmin < fmax <= fs / 2 = {fs / 2:g}, got fmin = {recipe.fmin:g}",
            key="fmax",
            value=fmax,
        )


def build_window(name: str, length: int) -> Tensor:
    """Return an analysis window in float64."""
    if name == "hann":
        return torch.hann_window(length, dtype=torch.float64)
    if name == "hamming":
        return torch.hamming_window(length, dtype=torch.float64)
    if name == "povey":
        return torch.hann_window(length, periodic=False, dtype=torch.float64) ** 0.85
    known = ("hann", "hamming", "povey")
    hint = did_you_mean(name, known) or "known windows: " + ", ".join(known)
    raise ConfigError("is not a known window", key="window", value=name, hint=hint)
