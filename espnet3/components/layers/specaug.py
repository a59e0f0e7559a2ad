"""SpecAugment: warp and mask features in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from espnet3.components.layers.masks import length_mask
from espnet3.errors import SettingError
from espnet3.utils.import_utils import trusted_target

# Shapes: B batch, T frames, F features, M masks

WidthRange = int | Sequence[int]


@trusted_target
class SpecAug(nn.Module):
    """Augment features by time warping, frequency masks and time masks (Park et al. 2019).

    Works on the whole batch at once, on the device of the features, with torch's random state.
    Masks and warps stay within the valid frames of each utterance. In evaluation mode features
    pass unchanged.

    Args:
        apply_time_warp: Stretch one part of each utterance and squeeze the other; the length
            stays. Utterances of at most ``2 * time_warp_window`` frames are left alone.
        time_warp_window: Largest shift of the point between the two parts, in frames.
        time_warp_mode: Interpolation: ``bicubic`` or ``bilinear``.
        apply_freq_mask: Mask bands of neighbouring features.
        freq_mask_width_range: Smallest and (excluded) largest width; one number means from 0.
        num_freq_mask: Frequency masks per utterance.
        apply_time_mask: Mask runs of frames.
        time_mask_width_range: Smallest and (excluded) largest width in frames.
        time_mask_width_ratio_range: The same as a share of the utterance's length.
        num_time_mask: Time masks per utterance.
        replace_with_zero: Fill masks with 0, else with the mean of the utterance.

    Raises:
        SettingError: If nothing is applied, or not exactly one time-mask range is given.
    """

    def __init__(
        self,
        apply_time_warp: bool = True,
        time_warp_window: int = 5,
        time_warp_mode: str = "bicubic",
        apply_freq_mask: bool = True,
        freq_mask_width_range: WidthRange = (0, 20),
        num_freq_mask: int = 2,
        apply_time_mask: bool = True,
        time_mask_width_range: WidthRange | None = None,
        time_mask_width_ratio_range: float | Sequence[float] | None = None,
        num_time_mask: int = 2,
        replace_with_zero: bool = True,
    ) -> None:
        super().__init__()
        if not (apply_time_warp or apply_freq_mask or apply_time_mask):
            raise SettingError("applies neither time warp nor frequency nor time masks")
        ranges = (time_mask_width_range, time_mask_width_ratio_range)
        if apply_time_mask and sum(value is not None for value in ranges) != 1:
            raise SettingError(
                "needs exactly one of time_mask_width_range and time_mask_width_ratio_range",
                hint="or set apply_time_mask: false",
            )
        if time_warp_mode not in ("bicubic", "bilinear"):
            raise SettingError(
                "must be bicubic or bilinear", key="time_warp_mode", value=time_warp_mode
            )
        self.time_warp_window = time_warp_window if apply_time_warp else None
        self.time_warp_mode = time_warp_mode
        self.num_freq_mask = num_freq_mask if apply_freq_mask else 0
        self.freq_width = _as_range(freq_mask_width_range)
        self.num_time_mask = num_time_mask if apply_time_mask else 0
        self.time_is_ratio = time_mask_width_ratio_range is not None
        self.time_width = _as_range(
            time_mask_width_ratio_range if self.time_is_ratio else time_mask_width_range
        )
        self.replace_with_zero = replace_with_zero

    def augmentation(self) -> dict[str, Any]:
        """Say what is done to which share of the utterances in training."""
        options = {
            "time_warp": self.time_warp_window,
            "freq_masks": self.num_freq_mask,
            "time_masks": self.num_time_mask,
        }
        return {"probability": 1.0, "options": {k: v for k, v in options.items() if v}}

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Augment features of shape (B, T, F) when training; lengths of shape (B,) stay."""
        if not self.training:
            return feats, lengths
        if self.time_warp_window is not None:
            feats = warp_time(feats, lengths, self.time_warp_window, self.time_warp_mode)
        masks = []
        if self.num_freq_mask:
            masks.append(self._draw_freq_mask(feats).unsqueeze(1))
        if self.num_time_mask:
            masks.append(self._draw_time_mask(feats, lengths).unsqueeze(2))
        for mask in masks:
            feats = self._fill(feats, mask, lengths)
        return feats, lengths

    def _draw_freq_mask(self, feats: Tensor) -> Tensor:
        """Return the masked features of each utterance, shape (B, F)."""
        size = feats.shape[2]
        sizes_B = torch.full((feats.shape[0],), size, device=feats.device)
        low_B, high_B = (torch.full_like(sizes_B, int(bound)) for bound in self.freq_width)
        return _draw_spans(sizes_B, low_B, high_B, self.num_freq_mask, size)

    def _draw_time_mask(self, feats: Tensor, lengths: Tensor) -> Tensor:
        """Return the masked frames of each utterance, shape (B, T)."""
        low, high = self.time_width
        if self.time_is_ratio:
            low_B, high_B = (lengths * low).long(), (lengths * high).long()
        else:
            low_B, high_B = (torch.full_like(lengths, int(bound)) for bound in (low, high))
        return _draw_spans(lengths, low_B, high_B, self.num_time_mask, feats.shape[1])

    def _fill(self, feats: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        if self.replace_with_zero:
            return feats.masked_fill(mask, 0.0)
        valid_BT1 = length_mask(lengths, feats.shape[1]).unsqueeze(2)
        total_B11 = feats.masked_fill(~valid_BT1, 0.0).sum((1, 2), keepdim=True)
        count_B11 = (lengths.clamp(min=1) * feats.shape[2])[:, None, None]
        return torch.where(mask & valid_BT1, total_B11 / count_B11, feats)


def warp_time(feats_BTF: Tensor, lengths_B: Tensor, window: int, mode: str) -> Tensor:
    """Move a random point of each utterance by up to ``window`` frames and resample both sides.

    Args:
        feats_BTF: Features, shape (B, T, F).
        lengths_B: Valid frames, shape (B,).
        window: Largest shift in frames; also the smallest distance of the point from the ends.
        mode: ``bicubic`` or ``bilinear``.

    Returns:
        Warped features of the same shape; padded frames are unchanged.
    """
    lengths = lengths_B.unsqueeze(1)
    frames = torch.arange(feats_BTF.shape[1], device=feats_BTF.device)
    centre = _draw_integers(torch.full_like(lengths, window), lengths - window)
    moved = _draw_integers(centre - window, centre + window) + 1
    enough = lengths > 2 * window
    centre = torch.where(enough, centre, lengths)
    moved = torch.where(enough, moved, lengths)
    is_left = frames < moved
    # Piece of the source that an output frame comes from: [first, first + size).
    first = torch.where(is_left, 0, centre)
    size = torch.where(is_left, centre, lengths - centre)
    offset = frames - torch.where(is_left, 0, moved)
    out_size = torch.where(is_left, moved, lengths - moved).clamp(min=1)
    position = (offset + 0.5) * (size / out_size) - 0.5
    warped = _resample(feats_BTF, position, first, size, mode)
    return torch.where((frames < lengths).unsqueeze(2), warped, feats_BTF)


def _resample(feats: Tensor, position: Tensor, first: Tensor, size: Tensor, mode: str) -> Tensor:
    """Interpolate over time at ``position`` frames after ``first``, repeating the piece's ends."""
    base = position.floor()
    x = (position - base).to(feats.dtype)
    if mode == "bilinear":
        taps = [(0, 1.0 - x), (1, x)]
    else:
        taps = [(-1, _far(1.0 + x)), (0, _near(x)), (1, _near(1.0 - x)), (2, _far(2.0 - x))]
    batch, frames = position.shape
    rows = torch.arange(batch, device=feats.device).unsqueeze(1) * frames
    flat = feats.reshape(batch * frames, -1)
    result = torch.zeros_like(feats)
    for shift, weight in taps:
        index = torch.minimum((base.long() + shift).clamp(min=0), size - 1) + first
        index = (index.clamp(min=0, max=frames - 1) + rows).flatten()
        picked = flat.index_select(0, index).view_as(feats)
        result = torch.addcmul(result, picked, weight.unsqueeze(2))
    return result


# Cubic convolution (Keys 1981) with the coefficient -0.75 that torch.nn.functional uses.
_CUBIC = -0.75


def _near(x: Tensor) -> Tensor:
    return ((_CUBIC + 2.0) * x - (_CUBIC + 3.0)) * x * x + 1.0


def _far(x: Tensor) -> Tensor:
    return ((x - 5.0) * x + 8.0) * x * _CUBIC - 4.0 * _CUBIC


def _draw_integers(low: Tensor, high: Tensor) -> Tensor:
    """Draw uniformly from [low, high) element by element; ``low`` where that is empty."""
    span = (high - low).clamp(min=1)
    # float64: a product of float32 just below 1 with a large span may round up to the span.
    drawn = torch.rand(span.shape, dtype=torch.float64, device=span.device) * span
    return low + drawn.long()


def _draw_spans(sizes_B: Tensor, low_B: Tensor, high_B: Tensor, num: int, width: int) -> Tensor:
    """Mark ``num`` random spans within the first ``sizes`` positions, shape (B, width)."""
    sizes_BM = sizes_B.unsqueeze(1).expand(-1, num)
    spans_BM = _draw_integers(low_B.unsqueeze(1).expand(-1, num), high_B.unsqueeze(1))
    spans_BM = torch.minimum(spans_BM, sizes_BM)
    starts_BM = _draw_integers(torch.zeros_like(spans_BM), sizes_BM - spans_BM)
    positions = torch.arange(width, device=sizes_B.device)
    inside = (positions >= starts_BM.unsqueeze(2)) & (
        positions < (starts_BM + spans_BM).unsqueeze(2)
    )
    return inside.any(1)


def _as_range(value: float | Sequence[float] | None) -> tuple[float, float]:
    """Read one number as the upper end of a range from 0."""
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 0, value
    low, high = value
    if not 0 <= low <= high:
        raise SettingError(f"must be a rising range of numbers from 0 on, got [{low}, {high}]")
    return low, high
