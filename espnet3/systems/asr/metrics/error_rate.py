"""Error rates over aligned tokens: what WER, CER and TER share."""

from __future__ import annotations

import dataclasses
import heapq
import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

from espnet3.components.metrics.base_metric import Alignment, BaseMetric
from espnet3.components.metrics.text_normalizers import TextNormalizer, build_normalizer
from espnet3.components.metrics.utterance_records import UtteranceRecord
from espnet3.errors import DataError, SettingError
from espnet3.systems.asr.metrics.cleaner import build_cleaner
from espnet3.systems.asr.metrics.edit_distance import (
    LETTERS,
    EditCounts,
    align,
    count_edits,
    format_alignment,
)
from espnet3.utils.path_utils import atomic_open
from espnet3.utils.types import UttId

logger = logging.getLogger(__name__)

_NUM_WORST = 50
_NUM_SHOWN = 5


class ErrorRate(BaseMetric):
    """Edits per reference token over a whole test set, in percent.

    Args:
        ref_key: Input with the reference texts.
        hyp_key: Input with the recognised texts.
        clean_types: Text cleaners of ESPnet2 to apply to both; null applies none.
        normalizer: Names of text normalisers to apply to both after that, see
            :func:`~espnet3.components.metrics.text_normalizers.build_normalizer`; null compares
            texts as they are.
        empty_token: Stands for an empty text, as one token. Null compares empty texts as such;
            the default counts an empty text that is recognised as empty as one correct token.
        align: ``order`` wants the same ids in the same order in both files, ``by_id`` joins by id.

    Raises:
        MissingDependencyError: If ``clean_types`` is set and ESPnet2 is not installed.
        ConfigError: If there is no such normaliser.
    """

    name: ClassVar[str]
    """Name of the score; in lower case, start of the names of its files."""

    def __init__(
        self,
        ref_key: str = "ref",
        hyp_key: str = "hyp",
        clean_types: str | Sequence[str] | None = None,
        *,
        normalizer: str | Sequence[str] | None = None,
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
        self.stem = self.name.lower()
        steps = [*build_cleaner(clean_types), *build_normalizer(normalizer).steps]
        self.normalizer = TextNormalizer(steps)

    @abstractmethod
    def split(self, text: str) -> str | list[str]:
        """Return the tokens that are compared; a string stands for its characters."""

    @abstractmethod
    def describe_unit(self) -> dict[str, str]:
        """Return what a token is, as plain JSON; rates of different units cannot be compared."""

    def __call__(self, data: dict[str, Path], test_name: str, output_dir: Path) -> dict[str, float]:
        """Score one test set.

        Writes, into ``<output_dir>/<test_name>``, ``<stem>_alignment`` for people and
        ``<stem>_utterances.jsonl`` for programs; ``stem`` is the name in lower case, unless another
        metric of the stage has taken it.

        Returns:
            ``{name: rate in percent, rounded to two decimals}``.

        Raises:
            ScpError: If the files do not hold the same ids.
            DataError: If there is nothing to compare with.
        """
        folder = Path(output_dir) / test_name
        records = folder / f"{self.stem}_utterances.jsonl"
        tally = _Tally()
        with atomic_open(folder / f"{self.stem}_alignment") as text, atomic_open(records) as lines:
            self._score_all(data, tally, text, lines)
            if tally.counts.reference_length == 0:
                raise DataError(f"{data[self.ref_key]}: the references hold no tokens")
            text.write(f"{self.name} {_summarize(tally.counts)}\n")
        tally.warn_empty(test_name)
        self.details = {
            **tally.describe(),
            "unit": self.describe_unit(),
            "normalizer": self.normalizer.describe(),
            "empty_token": self.empty_token,
            "utterances_file": records.name,
        }
        counts = tally.counts
        return {self.name: round(100.0 * counts.errors / counts.reference_length, 2)}

    def _score_all(
        self, data: dict[str, Path], tally: _Tally, text: IO[str], lines: IO[str]
    ) -> None:
        for utt_id, ref_text, hyp_text in self._iter_pairs(data):
            tally.note_empty(utt_id, ref_text, hyp_text)
            ref = self.split(ref_text or self.empty_token or "")
            hyp = self.split(hyp_text or self.empty_token or "")
            opcodes = align(ref, hyp)
            counts = count_edits(opcodes)
            tally.add(utt_id, counts)
            record = UtteranceRecord(
                utt_id=utt_id,
                errors=counts.errors,
                reference_length=counts.reference_length,
                ref=ref,
                hyp=hyp,
                edits=[(LETTERS[code[0]], *code[1:]) for code in opcodes if code[0] != "equal"],
            )
            lines.write(record.to_line())
            text.write(f"{utt_id} {_summarize(counts)}\n{format_alignment(ref, hyp, opcodes)}\n\n")

    def _iter_pairs(self, data: dict[str, Path]) -> Iterator[tuple[UttId, str, str]]:
        """Yield id, reference and hypothesis, both normalised and possibly empty."""
        for utt_id, texts in self.iter_inputs(data, self.ref_key, self.hyp_key, align=self.align):
            ref, hyp = (self.normalizer(texts[k]).strip() for k in (self.ref_key, self.hyp_key))
            yield utt_id, ref, hyp


class _Tally:
    """Sums over utterances, and the worst of them."""

    def __init__(self) -> None:
        self.counts = EditCounts()
        self._num_utterances = 0
        self._num_wrong = 0
        self._worst: list[tuple[int, int, UttId, int]] = []
        self._empty: dict[str, list[UttId]] = {"references": [], "hypotheses": []}

    def note_empty(self, utt_id: UttId, ref: str, hyp: str) -> None:
        """Remember an utterance without a text on either side."""
        if not ref:
            self._empty["references"].append(utt_id)
        if not hyp:
            self._empty["hypotheses"].append(utt_id)

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

    def warn_empty(self, test_name: str) -> None:
        """Say how many references are empty, and which: such utterances are usually mistakes."""
        found = self._empty["references"]
        if found:
            logger.warning(
                "%d empty references in test set %r (%s%s); they are scored as described by "
                "`empty_token`",
                len(found),
                test_name,
                ", ".join(found[:_NUM_SHOWN]),
                ", …" if len(found) > _NUM_SHOWN else "",
            )

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
            **{f"empty_{side}": len(ids) for side, ids in self._empty.items()},
            "worst_utterances": worst,
        }


def _summarize(counts: EditCounts) -> str:
    return (
        f"errors={counts.errors} S={counts.substitutions} D={counts.deletions} "
        f"I={counts.insertions} N={counts.reference_length}"
    )
