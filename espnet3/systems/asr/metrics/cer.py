"""Character error rate."""

from __future__ import annotations

from typing import ClassVar

from espnet3.systems.asr.metrics.error_rate import ErrorRate


class CER(ErrorRate):
    """Character error rate in percent: edits per reference character, spaces included.

    Writes ``<output_dir>/<test_name>/cer_alignment``. See :class:`ErrorRate` for the arguments.
    """

    name: ClassVar[str] = "CER"

    def split(self, text: str) -> str:
        """Return the characters of a text."""
        return text

    def describe_unit(self) -> dict[str, str]:
        """Return the kind of token."""
        return {"name": "character"}
