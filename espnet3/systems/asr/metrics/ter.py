"""Token error rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from espnet3.components.metrics.base_metric import Alignment
from espnet3.components.text.tokenizers import SentencepiecesTokenizer, WordTokenizer
from espnet3.systems.asr.metrics.error_rate import ErrorRate
from espnet3.utils.fingerprint import fingerprint_file
from espnet3.utils.types import PathLike


class TER(ErrorRate):
    """Token error rate in percent: edits per reference token of a subword vocabulary.

    Writes ``<output_dir>/<test_name>/ter_alignment``. See :class:`ErrorRate` for the other
    arguments.

    Args:
        ref_key: Input with the reference texts.
        hyp_key: Input with the recognised texts.
        clean_types: Text cleaners of ESPnet2.
        bpemodel: SentencePiece model that splits both texts into pieces. Null takes the inputs as
            tokens that are separated by whitespace.
        normalizer: Names of text normalisers.
        empty_token: Stands for an empty text.
        align: ``order`` or ``by_id``.

    Raises:
        FileNotFoundError: If the model does not exist.
        TokenizerModelError: If it is damaged.
    """

    name: ClassVar[str] = "TER"

    def __init__(
        self,
        ref_key: str = "ref",
        hyp_key: str = "hyp",
        clean_types: str | Sequence[str] | None = None,
        *,
        bpemodel: PathLike | None = None,
        normalizer: str | Sequence[str] | None = None,
        empty_token: str | None = ".",  # noqa: S107 - a token of text
        align: Alignment = "order",
    ) -> None:
        super().__init__(
            ref_key,
            hyp_key,
            clean_types,
            normalizer=normalizer,
            empty_token=empty_token,
            align=align,
        )
        self._tokenizer = SentencepiecesTokenizer(bpemodel) if bpemodel else WordTokenizer()
        # An unreadable model is reported before any test set is scored.
        self._tokenizer.text2tokens("")

    def split(self, text: str) -> list[str]:
        """Return the pieces of a text."""
        return self._tokenizer.text2tokens(text)

    def describe_unit(self) -> dict[str, str]:
        """Return the kind of token, and the digest of the model that makes them."""
        if isinstance(self._tokenizer, WordTokenizer):
            return {"name": "token"}
        return {"name": "piece", "model_sha256": fingerprint_file(self._tokenizer.model)}
