"""Text from token ids when only the token list is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# SentencePiece marks the beginning of a word with this character.
_WORD_START = "\u2581"
_SPACE = "<space>"
_SILENT = frozenset({"<blank>", "<sos/eos>", "<sos>", "<eos>"})


class TokenJoiner:
    """Join tokens in the way that the token list suggests.

    SentencePiece pieces are glued and their word marks become spaces; a list with ``<space>``, or
    with nothing but single characters, is read as characters; everything else as words.

    Args:
        token_list: All symbols.

    Example:
        >>> TokenJoiner(["<blank>", "<unk>", "one", "two"])([2, 3])
        'one two'
    """

    def __init__(self, token_list: Sequence[str]) -> None:
        self.token_list = tuple(token_list)
        units = [t for t in self.token_list if not (t.startswith("<") and t.endswith(">"))]
        is_characters = _SPACE in self.token_list or all(len(unit) == 1 for unit in units)
        self._is_pieces = any(_WORD_START in unit for unit in units)
        self._separator = "" if self._is_pieces or is_characters else " "
        self.has_words = self._is_pieces or _SPACE in self.token_list or bool(self._separator)
        """Whether spaces in the text are word boundaries."""

    def __call__(self, token_ids: Iterable[int]) -> str:
        """Return the text of ``token_ids``; blanks and sentence marks are left out."""
        tokens = (self.token_list[index] for index in token_ids)
        return self.tokens2text(tokens)

    def tokens2text(self, tokens: Iterable[str]) -> str:
        """Return the text of ``tokens``; blanks and sentence marks are left out."""
        text = self._separator.join(
            " " if token == _SPACE else token for token in tokens if token not in _SILENT
        )
        return text.replace(_WORD_START, " ").strip() if self._is_pieces else text
