"""Word error rate."""

from __future__ import annotations

from typing import ClassVar

from espnet3.systems.asr.metrics.error_rate import ErrorRate


class WER(ErrorRate):
    """Word error rate in percent: edits per reference word; words are separated by whitespace.

    Writes ``<output_dir>/<test_name>/wer_alignment``. See :class:`ErrorRate` for the arguments.
    """

    name: ClassVar[str] = "WER"

    def split(self, text: str) -> list[str]:
        """Return the words of a text."""
        return text.split()

    def describe_unit(self) -> dict[str, str]:
        """Return the kind of token."""
        return {"name": "word"}
