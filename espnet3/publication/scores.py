"""The scores of a packed model: where they are found, and their table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from espnet3.components.metrics.score_text import format_score
from espnet3.errors import BundleError
from espnet3.publication.file_kinds import require_plain
from espnet3.publication.pack_inputs import PackInputs

Scores: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Metric → test set → column → value."""
Intervals: TypeAlias = Mapping[tuple[str, str], tuple[float, float]]
"""Metric and test set → bounds of the confidence interval."""


def find_scores(inputs: PackInputs) -> Path | None:
    """Return the score file to publish: ``scores.json``, else the ``metrics.json`` of ``measure``.

    Raises:
        BundleError: If there is more than one ``scores.json``.
    """
    configured = inputs.settings.decode_dir
    decode_dir = inputs.locate(configured) if configured else None
    decode_dir = decode_dir or inputs.read_path("inference", "decode_dir")
    own = os.path.realpath(inputs.out_dir) + os.sep
    found = [
        path
        for path in (sorted(decode_dir.rglob("scores.json")) if decode_dir else ())
        if not os.path.realpath(path).startswith(own)
    ]
    if len(found) > 1:
        raise BundleError(
            "publication_config.pack_model.decode_dir holds more than one scores.json: "
            + ", ".join(map(str, found))
        )
    if found:
        require_plain(found[0], "name another folder as publication_config.pack_model.decode_dir")
        return found[0]
    folders = [decode_dir]
    folders += [
        inputs.read_path(n, "inference_dir") for n in ("publication", "metrics", "inference")
    ]
    for folder in folders:
        if folder is not None and (folder / "metrics.json").is_file():
            return folder / "metrics.json"
    return None


def read_scores(path: Path | None) -> Scores:
    """Read a score file; what is not in a layout that we know gives no scores."""
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, Mapping):
        return {}
    scores: dict[str, dict[str, dict[str, Any]]] = {}
    for metric, tests in content.items():
        if not isinstance(tests, Mapping):
            return {}
        column = str(metric).rpartition(".")[2]
        scores[str(metric)] = {
            str(test): dict(value) if isinstance(value, Mapping) else {column: value}
            for test, value in tests.items()
        }
    return scores


def read_intervals(path: Path | None) -> Intervals:
    """Read the confidence intervals that ``measure`` wrote beside a score file, if it did."""
    if path is None:
        return {}
    try:
        content = json.loads((path.parent / "metrics_details.json").read_text(encoding="utf-8"))
        return {
            (str(metric), str(test)): (float(bounds["low"]), float(bounds["high"]))
            for metric, tests in content["metrics"].items()
            for test, made_of in tests.items()
            if (bounds := made_of.get("confidence"))
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Absent, or of another layout: scores are shown without.
        return {}


def results_table(scores: Scores, intervals: Intervals | None = None) -> str:
    """Return the results as a Markdown section, empty without scores.

    Args:
        scores: Result of :func:`read_scores`.
        intervals: Result of :func:`read_intervals`.

    Example:
        >>> print(results_table({"m.WER": {"clean": {"WER": 2.0}}}))
        ## Results
        <BLANKLINE>
        | Test | WER |
        | --- | --- |
        | clean | 2.00 |
    """
    tests = by_test_set(_with_intervals(scores, intervals or {}))
    if not tests:
        return ""
    columns = sorted({column for values in tests.values() for column in values})
    rows = [
        [test, *(_cell(values.get(column)) for column in columns)]
        for test, values in sorted(tests.items())
    ]
    lines = [["Test", *map(_cell, columns)], ["---"] * (len(columns) + 1), *rows]
    return "## Results\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _with_intervals(scores: Scores, intervals: Intervals) -> Scores:
    """Write the interval behind the score of each metric that has one score."""
    shown: dict[str, dict[str, dict[str, Any]]] = {}
    for metric, tests in scores.items():
        shown[metric] = {test: dict(values) for test, values in tests.items()}
        for test, values in shown[metric].items():
            if (metric, test) in intervals and len(values) == 1:
                low, high = intervals[metric, test]
                ((column, value),) = values.items()
                values[column] = f"{_cell(value)} ({low:.2f} to {high:.2f})"
    return shown


def by_test_set(scores: Scores) -> dict[str, dict[str, Any]]:
    """Return test set → column → value, over all metrics."""
    by_test: dict[str, dict[str, Any]] = {}
    for tests in scores.values():
        for test, values in tests.items():
            by_test.setdefault(test, {}).update(values)
    return by_test


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = format_score(round(value, 4) if isinstance(value, float) else value)
    return text.replace("|", "\\|").replace("\n", " ")
