"""Error rates of greedy hypotheses during validation."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein
from torch import Tensor

from espnet3.systems.asr.tokenizers.token_joiner import TokenJoiner


class ErrorRates:
    """Compare token ids as text.

    Args:
        token_list: Symbols of the model.
    """

    def __init__(self, token_list: Sequence[str]) -> None:
        self._joiner = TokenJoiner(token_list)

    def __call__(
        self, hypotheses: Sequence[Sequence[int]], text: Tensor, text_lengths: Tensor
    ) -> dict[str, float]:
        """Return ``cer_ctc`` and, where the units form words, ``wer``.

        Args:
            hypotheses: Decoded ids of each utterance.
            text: Reference ids, shape (B, U).
            text_lengths: Reference lengths, shape (B,).

        Returns:
            Rates over the batch in percent; empty when the references are.
        """
        references = [
            self._joiner(ids[:length])
            for ids, length in zip(text.tolist(), text_lengths.tolist(), strict=True)
        ]
        pairs = list(zip(references, map(self._joiner, hypotheses), strict=True))
        rates = {"cer_ctc": _rate([(_characters(ref), _characters(hyp)) for ref, hyp in pairs])}
        if self._joiner.has_words:
            rates["wer"] = _rate([(ref.split(), hyp.split()) for ref, hyp in pairs])
        return {name: rate for name, rate in rates.items() if rate is not None}


def _characters(text: str) -> list[str]:
    return list(text.replace(" ", ""))


def _rate(pairs: Sequence[tuple[list[str], list[str]]]) -> float | None:
    total = sum(len(reference) for reference, _ in pairs)
    if not total:
        return None
    return 100.0 * sum(Levenshtein.distance(*pair) for pair in pairs) / total
