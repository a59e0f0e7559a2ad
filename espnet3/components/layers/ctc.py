"""Connectionist temporal classification head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet3.components.layers.masks import length_mask
from espnet3.utils.import_utils import trusted_target

# Shapes: B batch, T frames, U output tokens, D model dim, V vocabulary


@trusted_target
class CTCHead(nn.Module):
    """Project encoder frames to the vocabulary and score label sequences (Graves et al. 2006).

    Log-softmax and loss are computed in float32 whatever the autocast type.

    Args:
        vocab_size: Number of symbols V, including the blank.
        hidden: Encoder dimension D.
        dropout_rate: Dropout on the encoder frames.
        zero_infinity: Give utterances whose label cannot be aligned zero loss and gradient instead
            of an infinite loss. :func:`count_infeasible` counts them.
        blank_id: Id of the blank symbol.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden: int,
        dropout_rate: float = 0.0,
        zero_infinity: bool = True,
        blank_id: int = 0,
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(hidden, vocab_size)
        self.dropout = nn.Dropout(dropout_rate) if dropout_rate else nn.Identity()
        self.zero_infinity = zero_infinity
        self.blank_id = blank_id

    def log_probs(self, hidden_BTD: Tensor) -> Tensor:
        """Return float32 log-probabilities of shape (B, T, V)."""
        logits_BTV = self.projection(self.dropout(hidden_BTD))
        log_probs_BTV: Tensor = logits_BTV.float().log_softmax(2)
        return log_probs_BTV

    def forward(
        self, hidden: Tensor, lengths: Tensor, text: Tensor, text_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss: sum over utterances divided by the batch size.

        Args:
            hidden: Encoder frames, shape (B, T, D).
            lengths: Valid frames, int64, shape (B,).
            text: Label ids without blanks, int64, shape (B, U); values beyond an utterance's
                length are ignored.
            text_lengths: Labels of each utterance, int64, shape (B,).

        Returns:
            Scalar float32 loss, and the log-probabilities of shape (B, T, V).
        """
        log_probs_BTV = self.log_probs(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            loss = F.ctc_loss(
                log_probs_BTV.transpose(0, 1),
                text.clamp(min=0),
                lengths,
                text_lengths,
                blank=self.blank_id,
                reduction="sum",
                zero_infinity=self.zero_infinity,
            )
        return loss / text.shape[0], log_probs_BTV


def count_infeasible(lengths_B: Tensor, text_BU: Tensor, text_lengths_B: Tensor) -> Tensor:
    """Count utterances whose label needs more frames than there are.

    A label needs one frame per symbol and one blank between equal neighbours.

    Returns:
        Scalar int64 tensor, on the device of the batch.
    """
    is_repeat = text_BU[:, 1:] == text_BU[:, :-1]
    valid = length_mask(text_lengths_B - 1, is_repeat.shape[1])
    needed_B = text_lengths_B + (is_repeat & valid).sum(1)
    return (needed_B > lengths_B).sum()
