"""Best-path CTC decoding."""

from __future__ import annotations

import torch
from torch import Tensor

from espnet3.components.layers.masks import length_mask
from espnet3.systems.asr.decoding.hypothesis import Hypothesis

# Shapes: B batch, T frames, V vocabulary


def ctc_greedy(log_probs: Tensor, lengths: Tensor, *, blank_id: int = 0) -> list[Hypothesis]:
    """Take the most probable symbol of each frame, merge repeats and drop blanks.

    Runs on the device of the batch; the result comes to the host in one transfer.

    Args:
        log_probs: Log-probabilities, float, shape (B, T, V).
        lengths: Valid frames, int64, shape (B,).
        blank_id: Id of the blank symbol.

    Returns:
        One hypothesis per utterance.
    """
    best_BT, ids_BT = log_probs.float().max(2)
    valid_BT = length_mask(lengths, ids_BT.shape[1])
    is_new = torch.ones_like(valid_BT)
    is_new[:, 1:] = ids_BT[:, 1:] != ids_BT[:, :-1]
    kept_BT = valid_BT & is_new & (ids_BT != blank_id)
    scores_B = best_BT.masked_fill(~valid_BT, 0.0).sum(1)
    # Scores ride along as the bits of an integer column, so that one copy carries everything.
    bits_B1 = scores_B.view(torch.int32).long().unsqueeze(1)
    packed = torch.cat([torch.where(kept_BT, ids_BT, -1), bits_B1], 1).cpu()
    scores = packed[:, -1].int().view(torch.float32).tolist()
    return [
        Hypothesis(tuple(i for i in row if i >= 0), score)
        for row, score in zip(packed[:, :-1].tolist(), scores, strict=True)
    ]
