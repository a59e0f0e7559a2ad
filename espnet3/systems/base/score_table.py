"""Scores as tables that read well as text and render as Markdown."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from espnet3.components.metrics.score_text import format_score

_COUNTS = {
    "errors": "errors",
    "substitutions": "sub",
    "deletions": "del",
    "insertions": "ins",
    "reference_length": "tokens",
    "utterances": "utterances",
}
_ABSENT = "–"
_UTTERANCE = "utterance"
_FEW_BLOCKS = 10

logger = logging.getLogger(__name__)


def format_report(scores: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Return the table of scores, and those of comparisons and breakdowns that were made.

    Args:
        scores: ``{metric: {test set: {score name: value}}}``.
        details: What the scores were made of, ``{metric: {test set: {…}}}``.
    """
    parts = [format_table(scores, details)]
    rows = list(_iter_rows(scores, details))
    compared: dict[str, list[Any]] = {}
    for cells, made_of in rows:
        if "comparison" in made_of:
            found = made_of["comparison"]
            compared.setdefault(found["with"], []).append((cells, found))
    for folder, group in compared.items():
        parts.append(f"Compared with `{folder}`:\n\n{_format_comparisons(group)}")
    columns = dict.fromkeys(name for _, made_of in rows for name in made_of.get("breakdown", {}))
    for column in columns:
        split = [
            (cells, made_of["breakdown"][column])
            for cells, made_of in rows
            if column in made_of.get("breakdown", {})
        ]
        parts.append(f"By {column}:\n\n{_format_groups(column, split)}")
    return "\n".join(parts)


def describe_blocks(details: Mapping[str, Any]) -> list[str]:
    """Say of what intervals were drawn, where that is not utterances; warn of too few blocks.

    Args:
        details: ``{metric: {test set: {…}}}``.
    """
    found: dict[tuple[str, str], int] = {}
    for by_test_set in details.values():
        for test_name, made_of in by_test_set.items():
            interval = made_of.get("confidence") or {}
            if interval.get("unit", _UTTERANCE) != _UTTERANCE:
                found[test_name, interval["unit"]] = interval["units"]
    lines = []
    for (test_name, unit), count in found.items():
        lines.append(f"Intervals of `{test_name}` draw blocks: the {count} values of `{unit}`")
        if count < _FEW_BLOCKS:
            advice = f"fewer than {_FEW_BLOCKS} are too few for an interval to rely on"
            lines[-1] += f"; {advice}"
            logger.warning("%s", lines[-1])
    return lines


def format_table(scores: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Return one row per test set and score, with its interval and counts where it has them.

    Args:
        scores: ``{metric: {test set: {score name: value}}}``.
        details: ``{metric: {test set: {count name: number}}}``.

    Example:
        >>> print(format_table({"m.WER": {"clean": {"WER": 2.5}}}, {}))
        | test set | metric | score |
        |---|---|---:|
        | clean    | WER    |  2.50 |
        <BLANKLINE>
    """
    rows = list(_iter_rows(scores, details))
    used = [name for name in _COUNTS if any(name in counts for _, counts in rows)]
    levels = [made_of["confidence"]["level"] for _, made_of in rows if made_of.get("confidence")]
    interval = [f"{100 * level:g} % interval" for level in levels[:1]]
    header = ["test set", "metric", "score", *interval, *(_COUNTS[name] for name in used)]
    body = [
        [
            *cells,
            *([_format_interval(made_of.get("confidence"))] if interval else []),
            *(str(made_of.get(name, _ABSENT)) for name in used),
        ]
        for cells, made_of in rows
    ]
    return _format_grid(header, body, num_names=2)


def _format_comparisons(compared: Sequence[tuple[list[str], Mapping[str, Any]]]) -> str:
    header = ["test set", "metric", "score", "earlier", "difference", "interval"]
    header += ["p (bootstrap)", "p (matched pairs)"]
    body = [
        [
            *cells[:2],
            f"{found['score']:.2f}",
            f"{found['baseline_score']:.2f}",
            f"{found['difference']:+.2f}",
            _format_interval(found["paired_bootstrap"]),
            _format_probability(found["paired_bootstrap"]["p_value"]),
            _format_probability(found["matched_pairs"]["p_value"]),
        ]
        for cells, found in compared
    ]
    return _format_grid(header, body, num_names=2)


def _format_groups(column: str, split: Sequence[tuple[list[str], Mapping[str, Any]]]) -> str:
    header = ["test set", "metric", column, "score", "interval", "tokens", "utterances"]
    body = [
        [
            *cells[:2],
            label,
            _ABSENT if group["score"] is None else f"{group['score']:.2f}",
            _format_interval(group),
            str(group["reference_length"]),
            str(group["utterances"]),
        ]
        for cells, groups in split
        for label, group in groups.items()
    ]
    return _format_grid(header, body, num_names=3)


def _iter_rows(
    scores: Mapping[str, Any], details: Mapping[str, Any]
) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    for metric, by_test_set in scores.items():
        for test_name, values in by_test_set.items():
            for name, value in values.items():
                made_of = details.get(metric, {}).get(test_name, {})
                yield [test_name, _label(metric, name), format_score(value)], made_of


def _label(metric: str, score: str) -> str:
    """Return the score's name; with the entry's name or number where that says more."""
    if "." not in metric:
        return score if metric == score else f"{score} ({metric})"
    _, mark, number = metric.partition("#")
    return score + mark + number


def _format_interval(bounds: Mapping[str, Any] | None) -> str:
    if not bounds or bounds["low"] is None:
        return _ABSENT
    return f"{bounds['low']:.2f} to {bounds['high']:.2f}"


def _format_probability(value: float | None) -> str:
    if value is None:
        return _ABSENT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _format_grid(header: Sequence[str], body: Sequence[Sequence[str]], *, num_names: int) -> str:
    """Return a table; columns after the names are numbers, on the right."""
    table = [[cell.replace("|", "\\|") for cell in row] for row in [header, *body]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    rule = "|" + "---|" * num_names + "---:|" * (len(header) - num_names)
    lines = [_format_row(row, widths, num_names) for row in table]
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _format_row(cells: Sequence[str], widths: Sequence[int], num_names: int) -> str:
    padded = [
        cell.ljust(width) if column < num_names else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"
