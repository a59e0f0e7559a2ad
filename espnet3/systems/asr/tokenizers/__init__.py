"""Text units of speech recognition: train, extend and apply tokenizers."""

from __future__ import annotations

from espnet3.components.text import (
    CharTokenizer,
    SentencepiecesTokenizer,
    TokenIDConverter,
    WordTokenizer,
    build_tokenizer,
)
from espnet3.systems.asr.tokenizers.sentencepiece import (
    add_special_tokens,
    prepare_sentences,
    train_sentencepiece,
)
from espnet3.systems.asr.tokenizers.token_joiner import TokenJoiner

__all__ = [
    "CharTokenizer",
    "SentencepiecesTokenizer",
    "TokenIDConverter",
    "TokenJoiner",
    "WordTokenizer",
    "add_special_tokens",
    "build_tokenizer",
    "prepare_sentences",
    "train_sentencepiece",
]
