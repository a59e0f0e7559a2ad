"""Align a hypothesis with its reference once: counts, rate and a readable alignment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias, cast

from rapidfuzz.distance import Levenshtein

Edit: TypeAlias = Literal["equal", "replace", "delete", "insert"]
Opcode: TypeAlias = tuple[Edit, int, int, int, int]
"""What happens to ``ref[start:end]``, and the ``hyp[start:end]`` that it becomes."""


class Vocabulary:
    """Numbers for tokens, so that each token is compared as an integer."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the number of each token; new tokens get new numbers."""
        numbers = self._numbers
        return [numbers.setdefault(token, len(numbers)) for token in tokens]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditCounts:
    """How often each edit occurs in a cheapest alignment."""

    substitutions: int = 0
    deletions: int = 0
    """Reference tokens without counterpart."""
    insertions: int = 0
    """Hypothesis tokens without counterpart."""
    hits: int = 0

    @property
    def errors(self) -> int:
        """Number of edits."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference_length(self) -> int:
        """Number of reference tokens."""
        return self.substitutions + self.deletions + self.hits

    def __add__(self, other: EditCounts) -> EditCounts:
        return EditCounts(
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
            hits=self.hits + other.hits,
        )


def align(ref: Sequence[int], hyp: Sequence[int]) -> list[Opcode]:
    """Return a cheapest alignment, as spans in order.

    Args:
        ref: Numbers of the reference tokens.
        hyp: Numbers of the hypothesis tokens.

    Example:
        >>> align([1, 2, 3], [1, 3])
        [('equal', 0, 1, 0, 1), ('delete', 1, 2, 1, 1), ('equal', 2, 3, 1, 2)]
    """
    return cast(list[Opcode], Levenshtein.opcodes(ref, hyp).as_list())


def count_edits(opcodes: Iterable[Opcode]) -> EditCounts:
    """Count the tokens of each kind of span.

    Example:
        >>> count_edits(align([1, 2, 3], [1, 3])).deletions
        1
    """
    counts = {"equal": 0, "replace": 0, "delete": 0, "insert": 0}
    for kind, ref_start, ref_end, hyp_start, hyp_end in opcodes:
        counts[kind] += (hyp_end - hyp_start) if kind == "insert" else (ref_end - ref_start)
    return EditCounts(
        substitutions=counts["replace"],
        deletions=counts["delete"],
        insertions=counts["insert"],
        hits=counts["equal"],
    )


def format_alignment(ref: Sequence[str], hyp: Sequence[str], opcodes: Iterable[Opcode]) -> str:
    """Return three lines: reference, hypothesis and a letter (S, D, I) below each edit.

    Example:
        >>> print(format_alignment(["a", "b"], ["a", "cc"], align([0, 1], [0, 2])))
        REF: a b
        HYP: a cc
               S
    """
    rows: tuple[list[str], list[str], list[str]] = (["REF:"], ["HYP:"], ["    "])
    for kind, ref_start, ref_end, hyp_start, hyp_end in opcodes:
        width = max(ref_end - ref_start, hyp_end - hyp_start)
        for offset in range(width):
            left = "" if kind == "insert" else ref[ref_start + offset]
            right = "" if kind == "delete" else hyp[hyp_start + offset]
            letter = {"equal": "", "replace": "S", "delete": "D", "insert": "I"}[kind]
            # Stars show where a token has no counterpart.
            left, right = left or "*" * len(right), right or "*" * len(left)
            size = max(len(left), len(right))
            for row, text in zip(rows, (left, right, letter), strict=True):
                row.append(text.ljust(size))
    return "\n".join(" ".join(row).rstrip() for row in rows)
