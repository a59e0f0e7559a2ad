"""Error bars and breakdowns of a score, from the counts of each utterance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espnet3.components.metrics.significance import (
    Interval,
    bootstrap_ratio,
    percentile_interval,
    sum_by_block,
)
from espnet3.components.metrics.utterance_records import read_records
from espnet3.systems.base.score_columns import Column, values_of
from espnet3.systems.base.settings import ConfidenceSettings
from espnet3.utils.types import UttId

_MAX_GROUPS = 20
"""A column of more different numbers is split into quarters."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreCounts:
    """Errors and reference tokens of each utterance."""

    utt_ids: Sequence[UttId]
    errors: NDArray[np.int64]
    """Shape (utterances,)."""
    lengths: NDArray[np.int64]
    """Shape (utterances,)."""

    @classmethod
    def read(cls, path: Path) -> ScoreCounts:
        """Read the records that a metric has written.

        Raises:
            DataError: If a line is no record.
        """
        rows = [(r.utt_id, r.errors, r.reference_length) for r in read_records(path)]
        counts = np.array([row[1:] for row in rows], dtype=np.int64).reshape(-1, 2)
        return cls(utt_ids=[row[0] for row in rows], errors=counts[:, 0], lengths=counts[:, 1])

    def select(self, chosen: NDArray[np.intp]) -> ScoreCounts:
        """Return the utterances at the given places."""
        ids = [self.utt_ids[place] for place in chosen]
        return ScoreCounts(utt_ids=ids, errors=self.errors[chosen], lengths=self.lengths[chosen])


def estimate_interval(
    counts: ScoreCounts, settings: ConfidenceSettings, columns: Mapping[str, Column]
) -> dict[str, Any] | None:
    """Return the confidence interval of a score in percent; null for fewer than two units."""
    errors, lengths, unit = counts.errors, counts.lengths, "utterance"
    if settings.block_by is not None:
        unit = settings.block_by
        blocks = values_of(columns, unit, counts.utt_ids)
        errors, lengths = sum_by_block(blocks, errors, lengths)
    interval = _interval(errors, lengths, settings)
    if interval is None:
        return None
    return {
        **describe_interval(interval),
        "method": "percentile bootstrap",
        "unit": unit,
        "units": len(errors),
        "replicates": settings.replicates,
        "seed": settings.seed,
    }


def describe_interval(interval: Interval) -> dict[str, float]:
    """Return an interval of ratios as percentages."""
    values = dataclasses.asdict(interval)
    return {"level": values.pop("level")} | {k: round(100 * v, 3) for k, v in values.items()}


def break_down(
    counts: ScoreCounts,
    name: str,
    columns: Mapping[str, Column],
    settings: ConfidenceSettings | None,
) -> dict[str, dict[str, Any]]:
    """Return the score of each group of utterances with the same value of a column.

    Numbers are sorted; more than 20 different ones are split at their quartiles, and a group is
    named by its smallest and largest number. Intervals of groups resample utterances; without
    settings there are none.
    """
    if name in columns:
        values = values_of(columns, name, counts.utt_ids)
    else:
        values = [str(length) for length in counts.lengths]
    groups = _group(values)
    return {label: _score(counts.select(places), settings) for label, places in groups.items()}


def _group(values: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    numbers = _as_numbers(values)
    keys = np.asarray(values) if numbers is None else numbers
    distinct, first, places = np.unique(keys, return_index=True, return_inverse=True)
    if numbers is None or len(distinct) <= _MAX_GROUPS:
        labels = [values[place] for place in first]
    else:
        quartiles = np.unique(np.quantile(numbers, [0.25, 0.5, 0.75]))
        places = np.searchsorted(quartiles, numbers, side="left")
        parts = [numbers[places == part] for part in range(len(quartiles) + 1)]
        labels = [f"{part.min():g}–{part.max():g}" if len(part) else "" for part in parts]
    found = ((label, np.flatnonzero(places == place)) for place, label in enumerate(labels))
    return {label: chosen for label, chosen in found if len(chosen)}


def _as_numbers(values: Sequence[str]) -> NDArray[np.float64] | None:
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _score(counts: ScoreCounts, settings: ConfidenceSettings | None) -> dict[str, Any]:
    errors, length = int(counts.errors.sum()), int(counts.lengths.sum())
    interval = settings and _interval(counts.errors, counts.lengths, settings)
    bounds = describe_interval(interval) if interval else {}
    return {
        "score": round(100.0 * errors / length, 2) if length else None,
        "low": bounds.get("low"),
        "high": bounds.get("high"),
        "errors": errors,
        "reference_length": length,
        "utterances": len(counts.utt_ids),
    }


def _interval(
    errors: NDArray[np.int64], lengths: NDArray[np.int64], settings: ConfidenceSettings
) -> Interval | None:
    if len(errors) < 2 or not lengths.any():
        return None
    samples = bootstrap_ratio(errors, lengths, replicates=settings.replicates, seed=settings.seed)
    return percentile_interval(samples, settings.level)
