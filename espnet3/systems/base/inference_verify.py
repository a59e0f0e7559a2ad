"""Decode some samples of a test set again, each alone, and compare."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_outcome import Outcome

_RTOL = 1e-3
_ATOL = 1e-4


def choose_samples(journal: Journal, num_samples: int, count: int) -> list[int]:
    """Return the indices of finished samples, chosen at random but always the same."""
    done = [index for index in range(num_samples) if journal.is_done(index)]
    return sorted(random.Random(0).sample(done, min(count, len(done))))


def find_differences(outcomes: Iterable[Outcome], journal: Journal) -> list[dict[str, Any]]:
    """Return where samples that were decoded again came out differently.

    Args:
        outcomes: What came out when they were alone.
        journal: Has what came out first.

    Returns:
        ``index``, ``id``, ``field``, ``first`` and ``alone`` of each difference.
    """
    found: list[dict[str, Any]] = []
    for outcome in outcomes:
        for failure in outcome.failures:
            found.append(
                {"index": failure.index, "id": failure.sample_id, "error": failure.message}
            )
        for sample in outcome.samples:
            rows = zip(journal.rows(sample.position), json.loads(sample.line)[1], strict=False)
            for first, alone in rows:
                found += _compare(sample.position, first, alone, journal.fields)
    return found


def _compare(
    index: int,
    first: Sequence[str],
    alone: Sequence[str],
    fields: Sequence[str],
) -> list[dict[str, Any]]:
    return [
        {"index": index, "id": first[0], "field": field, "first": a, "alone": b}
        for field, a, b in zip(fields, first[1:], alone[1:], strict=True)
        if not _is_same(a, b)
    ]


def _is_same(first: str, alone: str) -> bool:
    """Tell whether two values of an SCP line are the same; arrays may differ by rounding."""
    if first == alone:
        return True
    one, two = Path(first), Path(alone)
    if one.name != two.name or not (one.is_file() and two.is_file()):
        return False
    if one.suffix == ".npy":
        a, b = (np.load(path, allow_pickle=False) for path in (one, two))
        return bool(a.shape == b.shape and np.allclose(a, b, _RTOL, _ATOL, equal_nan=True))
    return one.read_bytes() == two.read_bytes()
