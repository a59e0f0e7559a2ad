"""Decode some samples of a test set again, each alone, and compare."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet3.components.inference.batching import Batch
from espnet3.systems.base.inference_job import DecodeJob
from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_outcome import Outcome
from espnet3.systems.base.inference_state import STATE_DIR
from espnet3.systems.base.inference_workers import Workforce

logger = logging.getLogger(__name__)

_RTOL = 1e-3
_ATOL = 1e-4


def choose_samples(journal: Journal, num_samples: int, count: int) -> list[int]:
    """Return the indices of finished samples, chosen at random but always the same."""
    done = [index for index in range(num_samples) if journal.is_done(index)]
    return sorted(random.Random(0).sample(done, min(count, len(done))))


def decode_alone(
    indices: Sequence[int],
    workforce: Workforce,
    job: DecodeJob,
    provider: Any,
    journal: Journal,
    *,
    is_list: bool,
) -> dict[str, Any]:
    """Decode samples again, each alone, and tell what came out differently.

    Args:
        indices: Finished samples.
        workforce: Decodes them.
        job: What was done with all samples.
        provider: Builds the environment.
        journal: Has what came out first.
        is_list: Whether the model takes lists.

    Returns:
        What the report says: ``samples`` and ``differences``.
    """
    folder = journal.folder / STATE_DIR / "verify"
    alone = [Batch((index,), is_list=is_list) for index in indices]
    with contextlib.closing(
        workforce.decode(job, provider, [alone], journal.fields, folder)
    ) as outcomes:
        differences = find_differences(outcomes, journal)
    shutil.rmtree(folder, ignore_errors=True)
    log = logger.warning if differences else logger.info
    log("Decoded alone, %d of %d values differ", len(differences), len(indices))
    return {"samples": len(indices), "differences": differences}


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
