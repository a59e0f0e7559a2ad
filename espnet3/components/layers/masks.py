"""Which frames of a padded batch are real."""

from __future__ import annotations

import torch
from torch import Tensor


def length_mask(lengths_B: Tensor, size: int) -> Tensor:
    """Mark the valid positions of a padded batch.

    Args:
        lengths_B: Valid positions of each item, integer, shape (B,).
        size: Padded length T.

    Returns:
        Bool tensor of shape (B, T), true where the position lies within the item.
    """
    return torch.arange(size, device=lengths_B.device) < lengths_B.unsqueeze(1)


def zero_padding(feats_BTF: Tensor, lengths_B: Tensor) -> Tensor:
    """Return a copy of features of shape (B, T, F) whose padded frames are 0."""
    padding_BT = ~length_mask(lengths_B, feats_BTF.shape[1])
    return feats_BTF.masked_fill(padding_BT.unsqueeze(2), 0.0)
