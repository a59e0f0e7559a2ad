"""Error rates over aligned tokens: what WER and CER share."""

from __future__ import annotations

import dataclasses
import heapq
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

from espnet3.components.metrics.base_metric import Alignment, BaseMetric
from espnet3.errors import DataError, SettingError
from espnet3.systems.asr.metrics.edit_distance import (
    EditCounts,
    Vocabulary,
    align,
    count_edits,
    format_alignment,
)
from espnet3.systems.asr.metrics.normalizer import build_normalizer
from espnet3.utils.path_utils import atomic_open
from espnet3.utils.types import UttId

_NUM_WORST = 50


class ErrorRate(BaseMetric):
    """Edits per reference token over a whole test set, in percent.

    Args:
        ref_key: Input with the reference texts.
        hyp_key: Input with the recognised texts.
        clean_types: Text cleaners of ESPnet2 to apply to both; null compares texts as they are.
        empty_token: Stands for an empty text, as one token. Null compares empty texts as such;
            the default counts an empty text that is recognised as empty as one correct token.
        align: ``order`` wants the same ids in the same order in both files, ``by_id`` joins by id.

    Raises:
        MissingDependencyError: If ``clean_types`` is set and ESPnet2 is not installed.
    """

    name: ClassVar[str]
    """Name of the score; in lower case, start of the name of the alignment file."""

    def __init__(
        self,
        ref_key: str = "ref",
        hyp_key: str = "hyp",
        clean_types: str | Sequence[str] | None = None,
        *,
        empty_token: str | None = ".",  # noqa: S107 - a token of text
        align: Alignment = "order",
    ) -> None:
        if align not in ("order", "by_id"):
            raise SettingError("must be order or by_id", key="align", value=align)
        self.ref_key = ref_key
        self.hyp_key = hyp_key
        self.clean_types = clean_types
        self.empty_token = empty_token
        self.align = align
        self._normalizer = build_normalizer(clean_types)

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """Return the tokens that are compared."""

    def __call__(self, data: dict[str, Path], test_name: str, output_dir: Path) -> dict[str, float]:
        """Score one test set and write ``<output_dir>/<test_name>/<name>_alignment``.

        Returns:
            ``{name: rate in percent, rounded to two decimals}``.

        Raises:
            ScpError: If the files do not hold the same ids.
            DataError: If there is nothing to compare with.
        """
        path = Path(output_dir) / test_name / f"{self.name.lower()}_alignment"
        tally = _Tally()
        with atomic_open(path) as stream:
            self._score_all(data, tally, stream)
            if tally.counts.reference_length == 0:
                raise DataError(f"{data[self.ref_key]}: the references hold no tokens")
            stream.write(f"{self.name} {_summarize(tally.counts)}\n")
        self.details = {
            **tally.describe(),
            "normalizer": self._normalizer.describe(),
            "empty_token": self.empty_token,
        }
        counts = tally.counts
        return {self.name: round(100.0 * counts.errors / counts.reference_length, 2)}

    def _score_all(self, data: dict[str, Path], tally: _Tally, stream: IO[str]) -> None:
        vocabulary = Vocabulary()
        for utt_id, texts in self.iter_inputs(data, self.ref_key, self.hyp_key, align=self.align):
            ref, hyp = (self.split(self._prepare(texts[k])) for k in (self.ref_key, self.hyp_key))
            opcodes = align(vocabulary.encode(ref), vocabulary.encode(hyp))
            counts = count_edits(opcodes)
            tally.add(utt_id, counts)
            stream.write(
                f"{utt_id} {_summarize(counts)}\n{format_alignment(ref, hyp, opcodes)}\n\n"
            )

    def _prepare(self, text: str) -> str:
        text = self._normalizer.normalize(text).strip()
        return text or self.empty_token or ""


class _Tally:
    """Sums over utterances, and the worst of them."""

    def __init__(self) -> None:
        self.counts = EditCounts()
        self._num_utterances = 0
        self._num_wrong = 0
        self._worst: list[tuple[int, int, UttId, int]] = []

    def add(self, utt_id: UttId, counts: EditCounts) -> None:
        """Count one utterance."""
        self.counts += counts
        self._num_utterances += 1
        if counts.errors:
            self._num_wrong += 1
            # Of equally bad utterances, the first ones are kept.
            entry = (counts.errors, -self._num_utterances, utt_id, counts.reference_length)
            push = heapq.heappush if len(self._worst) < _NUM_WORST else heapq.heappushpop
            push(self._worst, entry)

    def describe(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        worst = [
            {"utt_id": utt_id, "errors": errors, "reference_length": length}
            for errors, _, utt_id, length in sorted(self._worst, reverse=True)
        ]
        return {
            **dataclasses.asdict(self.counts),
            "errors": self.counts.errors,
            "reference_length": self.counts.reference_length,
            "utterances": self._num_utterances,
            "utterances_with_errors": self._num_wrong,
            "sentence_error_rate": round(100.0 * self._num_wrong / self._num_utterances, 2),
            "worst_utterances": worst,
        }


def _summarize(counts: EditCounts) -> str:
    return (
        f"errors={counts.errors} S={counts.substitutions} D={counts.deletions} "
        f"I={counts.insertions} N={counts.reference_length}"
    )
