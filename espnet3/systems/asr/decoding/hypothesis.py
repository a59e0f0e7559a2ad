"""What decoders return."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One decoded label sequence.

    Attributes:
        token_ids: Symbols without blanks.
        score: Natural log-probability: of the best alignment (greedy), or of the sum over the
            alignments that the search kept (prefix beam).
    """

    token_ids: tuple[int, ...]
    score: float
