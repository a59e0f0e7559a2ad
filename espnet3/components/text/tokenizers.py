"""Tokenizers: SentencePiece, characters and words.

All of them pickle into worker processes and hold no open resources until first used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from espnet3.errors import ConfigError, DataError, MissingConfigError, did_you_mean
from espnet3.utils.import_utils import trusted_target

TOKEN_TYPES = ("bpe", "char", "word")


class TokenizerModelError(DataError, RuntimeError):
    """A SentencePiece model cannot be read."""


class Tokenizer(Protocol):
    """Splits a line into tokens and joins tokens into a line."""

    def text2tokens(self, line: str) -> list[str]:
        """Split ``line``."""

    def tokens2text(self, tokens: Iterable[str]) -> str:
        """Join ``tokens``."""


@trusted_target
class SentencepiecesTokenizer:
    """Subword units of a SentencePiece model (Kudo and Richardson, 2018).

    The model file is read on first use.

    Args:
        model: Path of the ``.model`` file.
        encode_kwargs: Keyword arguments of SentencePiece's ``encode``, for example
            ``{"enable_sampling": True, "alpha": 0.1, "nbest_size": -1}``.
    """

    def __init__(
        self, model: str | os.PathLike[str], encode_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        self.model = str(model)
        self.encode_kwargs = dict(encode_kwargs or {})
        self._processor: Any = None

    def __repr__(self) -> str:
        return f"SentencepiecesTokenizer(model={self.model!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_processor": None}

    def text2tokens(self, line: str) -> list[str]:
        """Split ``line`` into pieces.

        Raises:
            FileNotFoundError: If the model file does not exist.
            TokenizerModelError: If it is damaged.
        """
        pieces: list[str] = self._load().encode(line, out_type=str, **self.encode_kwargs)
        return pieces

    def tokens2text(self, tokens: Iterable[str]) -> str:
        """Join pieces into text."""
        text: str = self._load().decode(list(tokens))
        return text

    def _load(self) -> Any:
        if self._processor is None:
            if not Path(self.model).is_file():
                raise FileNotFoundError(
                    f"SentencePiece model {self.model} does not exist; run train_tokenizer first"
                )
            import sentencepiece

            try:
                self._processor = sentencepiece.SentencePieceProcessor(model_file=self.model)
            except RuntimeError as error:
                raise TokenizerModelError(
                    f"{self.model} is not a SentencePiece model\n"
                    "  remove it and run train_tokenizer again"
                ) from error
        return self._processor


@trusted_target
class CharTokenizer:
    """Characters, with a visible symbol for the space.

    Args:
        space_symbol: Token that stands for a space.
        non_linguistic_symbols: Symbols such as ``<noise>`` that stay whole; a path of a file
            with one per line, or the symbols themselves.
        remove_non_linguistic_symbols: Drop those symbols instead.

    Example:
        >>> CharTokenizer().text2tokens("a b")
        ['a', '<space>', 'b']
    """

    def __init__(
        self,
        space_symbol: str = "<space>",
        non_linguistic_symbols: str | os.PathLike[str] | Iterable[str] | None = None,
        remove_non_linguistic_symbols: bool = False,
    ) -> None:
        self.space_symbol = space_symbol
        self.non_linguistic_symbols = _read_whole_symbols(non_linguistic_symbols)
        self.remove_non_linguistic_symbols = remove_non_linguistic_symbols
        # Longest first: "<noise2>" must win over a listed prefix of it.
        ordered = sorted(self.non_linguistic_symbols, key=len, reverse=True)
        self._pattern = re.compile("|".join([*map(re.escape, ordered), "."]), re.DOTALL)

    def text2tokens(self, line: str) -> list[str]:
        """Split ``line`` into characters and whole symbols."""
        tokens: list[str] = self._pattern.findall(line)
        if self.remove_non_linguistic_symbols:
            tokens = [t for t in tokens if t not in self.non_linguistic_symbols]
        return [self.space_symbol if t == " " else t for t in tokens]

    def tokens2text(self, tokens: Iterable[str]) -> str:
        """Join characters; the space symbol becomes a space."""
        return "".join(" " if t == self.space_symbol else t for t in tokens)


@trusted_target
class WordTokenizer:
    """Words between delimiters.

    Args:
        delimiter: String between words; ``None`` means any run of white space.
        non_linguistic_symbols: Words that are dropped when ``remove_non_linguistic_symbols``.
        remove_non_linguistic_symbols: Drop those words.

    Example:
        >>> WordTokenizer().text2tokens("one two")
        ['one', 'two']
    """

    def __init__(
        self,
        delimiter: str | None = None,
        non_linguistic_symbols: str | os.PathLike[str] | Iterable[str] | None = None,
        remove_non_linguistic_symbols: bool = False,
    ) -> None:
        self.delimiter = delimiter
        self.non_linguistic_symbols = _read_whole_symbols(non_linguistic_symbols)
        self.remove_non_linguistic_symbols = remove_non_linguistic_symbols

    def text2tokens(self, line: str) -> list[str]:
        """Split ``line`` into words."""
        words = line.split(self.delimiter)
        if self.remove_non_linguistic_symbols:
            words = [word for word in words if word not in self.non_linguistic_symbols]
        return words

    def tokens2text(self, tokens: Iterable[str]) -> str:
        """Join words with the delimiter, or a space."""
        return (" " if self.delimiter is None else self.delimiter).join(tokens)


def build_tokenizer(
    token_type: str,
    *,
    bpemodel: str | os.PathLike[str] | None = None,
    non_linguistic_symbols: str | os.PathLike[str] | Iterable[str] | None = None,
    remove_non_linguistic_symbols: bool = False,
    space_symbol: str = "<space>",
    delimiter: str | None = None,
    encode_kwargs: Mapping[str, Any] | None = None,
) -> Tokenizer:
    """Build the tokenizer of a token type.

    Args:
        token_type: ``bpe`` (any SentencePiece model), ``char`` or ``word``.
        bpemodel: SentencePiece model; required by ``bpe``, not used by the others.
        non_linguistic_symbols: Symbols that ``char`` keeps whole.
        remove_non_linguistic_symbols: Drop them (``char`` and ``word``).
        space_symbol: Token of ``char`` for a space.
        delimiter: Word boundary of ``word``.
        encode_kwargs: Options of SentencePiece's ``encode``.

    Raises:
        ConfigError: If ``token_type`` is unknown.
        MissingConfigError: If ``bpe`` is asked for without a model.
    """
    if token_type == "bpe":  # noqa: S105 - a kind of text unit
        if bpemodel is None:
            raise MissingConfigError("token_type bpe needs a model", key="bpemodel")
        return SentencepiecesTokenizer(bpemodel, encode_kwargs)
    symbols, remove = non_linguistic_symbols, remove_non_linguistic_symbols
    if token_type == "char":  # noqa: S105
        return CharTokenizer(space_symbol, symbols, remove)
    if token_type == "word":  # noqa: S105
        return WordTokenizer(delimiter, symbols, remove)
    raise ConfigError(
        "must be one of " + ", ".join(TOKEN_TYPES),
        key="token_type",
        value=token_type,
        hint=did_you_mean(token_type, TOKEN_TYPES),
    )


def _read_whole_symbols(
    symbols: str | os.PathLike[str] | Iterable[str] | None,
) -> frozenset[str]:
    if symbols is None:
        return frozenset()
    if isinstance(symbols, str | os.PathLike):
        symbols = Path(symbols).read_text(encoding="utf-8").splitlines()
    return frozenset(symbol for symbol in symbols if symbol)
