"""Per-utterance results as a file: one JSON object per line, for reports and later comparisons."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from espnet3.errors import DataError
from espnet3.utils.types import PathLike, UttId

EditSpan: TypeAlias = tuple[str, int, int, int, int]
"""``S``, ``D`` or ``I``, start and end in the reference, start and end in the hypothesis."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceRecord:
    """What a score counted in one utterance."""

    utt_id: UttId
    errors: int
    reference_length: int
    """Reference tokens; the score of a set is the sum of errors over the sum of these."""
    ref: str | Sequence[str] = ()
    """Reference as it was compared: tokens, or a string of characters."""
    hyp: str | Sequence[str] = ()
    edits: Sequence[EditSpan] = ()
    """Spans of ``ref`` and ``hyp`` that differ, in order; the rest is equal."""

    def to_line(self) -> str:
        """Return one line of the file, with its newline."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return _ENCODER.encode(values) + "\n"


def read_records(path: PathLike) -> Generator[UtteranceRecord, None, None]:
    """Yield the records of a file in order.

    Raises:
        DataError: If a line is no record.
    """
    with Path(path).open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                values: dict[str, Any] = json.loads(line)
                record = UtteranceRecord(**values)
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"{path}:{number}: not a record of an utterance ({error})\n"
                    "  run `measure` again to write the file anew"
                ) from error
            yield record
