"""The vocabulary: symbols and their integer ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet3.errors import ConfigError, DataError
from espnet3.utils.import_utils import trusted_target


class VocabularyError(DataError, RuntimeError):
    """A token list is unreadable, holds a symbol twice or lacks a required one."""


@trusted_target
class TokenIDConverter:
    """Map between symbols and ids; the id of a symbol is its place in the list.

    Args:
        token_list: Path of a UTF-8 file with one symbol per line (only the line end is stripped,
            so a line with a single space is the space symbol), or the symbols themselves.
        unk_symbol: Symbol that stands for everything outside the list.

    Raises:
        VocabularyError: If a symbol occurs twice, or ``unk_symbol`` is not in the list.

    Example:
        >>> TokenIDConverter(["<blank>", "<unk>", "one", "two"]).tokens2ids(["two", "nine"])
        [3, 1]
    """

    def __init__(
        self, token_list: str | os.PathLike[str] | Iterable[str], unk_symbol: str = "<unk>"
    ) -> None:
        if isinstance(token_list, str | os.PathLike):
            source = str(token_list)
            self.token_list = _read_symbols(Path(token_list))
        else:
            source = "token_list"
            self.token_list = [str(token) for token in token_list]
        self.unk_symbol = unk_symbol
        self.token2id: dict[str, int] = {}
        for index, token in enumerate(self.token_list):
            if token in self.token2id:
                raise VocabularyError(
                    f"{source}: symbol {token!r} is duplicated"
                    f" (entries {self.token2id[token]} and {index}, counted from 0)"
                )
            self.token2id[token] = index
        if unk_symbol not in self.token2id:
            raise VocabularyError(
                f"{source}: unknown symbol {unk_symbol!r} does not exist in the token list;"
                " add it, or name the right one with unk_symbol"
            )
        self._unk_id = self.token2id[unk_symbol]

    def get_num_vocabulary_size(self) -> int:
        """Return the number of symbols."""
        return len(self.token_list)

    def ids2tokens(self, integers: Iterable[int]) -> list[str]:
        """Return the symbols of ``integers``.

        Raises:
            ConfigError: If an id lies outside ``[0, vocabulary size)``.
        """
        ids = [int(i) for i in integers]
        size = len(self.token_list)
        wrong = [i for i in ids if not 0 <= i < size]
        if wrong:
            raise ConfigError(f"token id {wrong[0]} is outside the vocabulary of {size} symbols")
        return [self.token_list[i] for i in ids]

    def tokens2ids(self, tokens: Sequence[str]) -> list[int]:
        """Return the ids of ``tokens``; a symbol outside the list becomes ``unk_symbol``."""
        table, unk = self.token2id, self._unk_id
        return [table.get(token, unk) for token in tokens]


def _read_symbols(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"token list {path} does not exist; run train_tokenizer first")
    with path.open(encoding="utf-8", newline="\n") as lines:
        return [line.removesuffix("\n").removesuffix("\r") for line in lines]
