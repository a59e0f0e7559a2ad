"""Scores as a table that reads well as text and renders as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_COUNTS = {
    "errors": "errors",
    "substitutions": "sub",
    "deletions": "del",
    "insertions": "ins",
    "reference_length": "tokens",
    "utterances": "utterances",
}


def format_table(scores: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Return one row per test set and score, with the counts behind it where a metric has them.

    Args:
        scores: ``{metric: {test set: {score name: value}}}``.
        details: ``{metric: {test set: {count name: number}}}``.

    Example:
        >>> print(format_table({"m.WER": {"clean": {"WER": 2.5}}}, {}))
        | test set | metric | score |
        |---|---|---:|
        | clean    | WER    |   2.5 |
        <BLANKLINE>
    """
    rows = list(_iter_rows(scores, details))
    used = [name for name in _COUNTS if any(name in counts for _, counts in rows)]
    header = ["test set", "metric", "score", *(_COUNTS[name] for name in used)]
    body = [[*cells, *(str(counts.get(n, "–")) for n in used)] for cells, counts in rows]
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
    rule = "|---|---|" + "---:|" * (len(header) - 2)
    lines = [_format_row(header, widths), rule, *(_format_row(row, widths) for row in body)]
    return "\n".join(lines) + "\n"


def _iter_rows(
    scores: Mapping[str, Any], details: Mapping[str, Any]
) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    for metric, by_test_set in scores.items():
        for test_name, values in by_test_set.items():
            for name, value in values.items():
                counts = details.get(metric, {}).get(test_name, {})
                yield [test_name, _label(metric, name), str(value)], counts


def _label(metric: str, score: str) -> str:
    """Return the score's name; with the entry's name or number where that says more."""
    if "." not in metric:
        return score if metric == score else f"{score} ({metric})"
    _, mark, number = metric.partition("#")
    return score + mark + number


def _format_row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"
