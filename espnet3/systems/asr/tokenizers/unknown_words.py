"""Find words of the training text that a tokenizer does not know."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

logger = logging.getLogger(__name__)

_MOST_WORDS = 5
_SPECIAL_SYMBOLS = 3


def find_unknown_words(processor: Any, sentences: Iterable[str]) -> tuple[Counter[str], int]:
    """Count the words that a SentencePiece model turns into ``<unk>``, wholly or in part.

    Args:
        processor: ``SentencePieceProcessor``.
        sentences: Text; words are what spaces separate.

    Returns:
        The unknown words with their frequencies, and the number of different words.
    """
    words = Counter(word for sentence in sentences for word in sentence.split())
    unknown = processor.unk_id()
    lost = {word: count for word, count in words.items() if unknown in processor.encode(word)}
    return Counter(lost), len(words)


def warn_about_unknown(
    processor: Any, sentences: Iterable[str], *, vocab_size: int, model_type: str
) -> None:
    """Warn when words of the training text are trained as ``<unk>``; say which, and the remedy.

    Args:
        processor: The trained ``SentencePieceProcessor``.
        sentences: Its training text.
        vocab_size: Number of symbols that was asked for.
        model_type: ``bpe``, ``unigram``, ``char`` or ``word``.
    """
    lost, num_words = find_unknown_words(processor, sentences)
    if not lost:
        return
    shown = [f"{word!r} ({count} times)" for word, count in lost.most_common(_MOST_WORDS)]
    remedy = "raise tokenizer.character_coverage or tokenizer.vocab_size"
    if model_type == "word":
        remedy = f"with tokenizer.vocab_size: {num_words + _SPECIAL_SYMBOLS} it knows all of them"
    logger.warning(
        "tokenizer.vocab_size = %d: %d of %d words of the training text become <unk>, so the model"
        " can neither learn nor write them: %s%s\n  %s",
        vocab_size,
        len(lost),
        num_words,
        ", ".join(shown),
        ", …" if len(lost) > _MOST_WORDS else "",
        remedy,
    )
