"""From text to tokens to ids, and back."""

from __future__ import annotations

from espnet3.components.text.token_id_converter import TokenIDConverter
from espnet3.components.text.tokenizers import (
    CharTokenizer,
    SentencepiecesTokenizer,
    Tokenizer,
    WordTokenizer,
    build_tokenizer,
)

__all__ = [
    "CharTokenizer",
    "SentencepiecesTokenizer",
    "TokenIDConverter",
    "Tokenizer",
    "WordTokenizer",
    "build_tokenizer",
]
