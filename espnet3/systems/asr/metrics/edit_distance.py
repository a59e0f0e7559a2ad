"""Align a hypothesis with its reference once: counts, rate and a readable alignment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias, cast

from rapidfuzz.distance import Levenshtein

Edit: TypeAlias = Literal["equal", "replace", "delete", "insert"]
Opcode: TypeAlias = tuple[Edit, int, int, int, int]
"""What happens to ``ref[start:end]``, and the ``hyp[start:end]`` that it becomes."""

LETTERS = {"replace": "S", "delete": "D", "insert": "I"}
"""How edits are written: substitution, deletion, insertion."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
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


def align(ref: Sequence[str], hyp: Sequence[str]) -> list[Opcode]:
    """Return a cheapest alignment, as spans in order.

    Args:
        ref: Tokens of the reference; of a string, its characters.
        hyp: Tokens of the hypothesis, of the same type.

    Example:
        >>> align(["a", "b", "c"], ["a", "c"])
        [('equal', 0, 1, 0, 1), ('delete', 1, 2, 1, 1), ('equal', 2, 3, 1, 2)]
    """
    return cast(list[Opcode], Levenshtein.opcodes(ref, hyp).as_list())


def count_edits(opcodes: Iterable[Opcode]) -> EditCounts:
    """Count the tokens of each kind of span.

    Example:
        >>> count_edits(align("abc", "ac")).deletions
        1
    """
    substitutions = deletions = insertions = hits = 0
    for kind, ref_start, ref_end, hyp_start, hyp_end in opcodes:
        if kind == "equal":
            hits += ref_end - ref_start
        elif kind == "replace":
            substitutions += ref_end - ref_start
        elif kind == "delete":
            deletions += ref_end - ref_start
        else:
            insertions += hyp_end - hyp_start
    return EditCounts(
        substitutions=substitutions, deletions=deletions, insertions=insertions, hits=hits
    )


def format_alignment(ref: Sequence[str], hyp: Sequence[str], opcodes: Iterable[Opcode]) -> str:
    """Return three lines: reference, hypothesis and a letter (S, D, I) below each edit.

    Example:
        >>> print(format_alignment(["a", "b"], ["a", "cc"], align(["a", "b"], ["a", "cc"])))
        REF: a b
        HYP: a cc
               S
    """
    rows: tuple[list[str], list[str], list[str]] = (["REF:"], ["HYP:"], ["    "])
    for kind, ref_start, ref_end, hyp_start, hyp_end in opcodes:
        if kind == "equal":
            same = " ".join(ref[ref_start:ref_end])
            columns = [(same, same, " " * len(same))]
        else:
            columns = list(_show_edits(kind, ref[ref_start:ref_end], hyp[hyp_start:hyp_end]))
        for row, cells in zip(rows, zip(*columns, strict=True), strict=True):
            row.extend(cells)
    return "\n".join(" ".join(row).rstrip() for row in rows)


def _show_edits(
    kind: Edit, ref: Sequence[str], hyp: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield the three cells of each token; stars show where it has no counterpart."""
    for place in range(max(len(ref), len(hyp))):
        left, right = ref[place : place + 1], hyp[place : place + 1]
        one, other = (left[0] if left else ""), (right[0] if right else "")
        one, other = one or "*" * len(other), other or "*" * len(one)
        size = max(len(one), len(other))
        yield one.ljust(size), other.ljust(size), LETTERS[kind].ljust(size)
