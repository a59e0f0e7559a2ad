"""Decide which samples of a test set share a batch."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet3.components.inference.batching import DEFAULT_COST, Batch, padding_waste, plan_batches
from espnet3.components.inference.settings import BatchingSettings, choose_mode
from espnet3.utils.fingerprint import fingerprint
from espnet3.utils.path_utils import atomic_open, write_json

logger = logging.getLogger(__name__)

_LENGTHS = "lengths"
_MAX_COST = "max_cost"


class BatchPlan:
    """The batches of a test set, and what was measured to make them.

    Args:
        settings: ``execution.batching``.
        batch_size: Size of ``fixed`` batches.
        folder: Keeps what was measured, for the next run.
        parts: Digests of what the outputs depend on; what was measured counts while they stay.
    """

    def __init__(
        self,
        settings: BatchingSettings,
        *,
        batch_size: int | None,
        folder: Path,
        parts: Mapping[str, str],
    ) -> None:
        self.max_cost = settings.max_cost
        """Limit of ``dynamic`` batches; ``None`` if unknown yet."""
        self.padding_waste: float | None = None
        """Part of the batches that is padding, for ``dynamic``."""
        self._settings = settings
        self._batch_size = batch_size
        self._folder = folder
        self._parts = parts

    def make(
        self,
        dataset: Any,
        num_samples: int,
        *,
        key: str,
        find_capacity: Callable[[int], int | None],
    ) -> list[Batch]:
        """Return batches with each of the first samples once.

        Args:
            dataset: Tells lengths.
            num_samples: How many samples to decode.
            key: Field whose length counts if the data set does not tell.
            find_capacity: Returns how many samples like the given one fit into one call, ``None``
                if nothing limits that.
        """
        if choose_mode(self._settings, self._batch_size) != "dynamic":
            return plan_batches(num_samples, self._settings, batch_size=self._batch_size)
        lengths = self._lengths(dataset, self._settings.length_key or key)
        if self.max_cost is None:
            self.max_cost = self._find_max_cost(lengths, find_capacity)
        lengths = lengths[:num_samples]
        batches = plan_batches(num_samples, self._settings, lengths=lengths, max_cost=self.max_cost)
        self.padding_waste = round(padding_waste(batches, lengths), 4)
        logger.info(
            "Batches: count=%d max_cost=%g padding=%.1f%%",
            len(batches),
            self.max_cost,
            100 * self.padding_waste,
        )
        return batches

    def limits(self) -> dict[str, Any]:
        """Return what limits the batches, besides ``max_cost``."""
        mode = choose_mode(self._settings, self._batch_size)
        most = self._settings.max_batch_size if mode == "dynamic" else self._batch_size
        return {"mode": mode, "max_batch_size": most or 1}

    def _lengths(self, dataset: Any, key: str) -> Sequence[float]:
        """Ask the data set for lengths; one that cannot tell is read once."""
        with contextlib.suppress(AttributeError, RuntimeError):
            return [float(dataset.get_length(index)) for index in range(len(dataset))]
        known = getattr(dataset, "lengths", None)
        if isinstance(known, Sequence | np.ndarray) and len(known) == len(dataset):
            return [float(length) for length in known]
        names = ("data.", "code.", "config.dataset", "config.data_dir", "config.recipe_dir")
        parts = {n: v for n, v in self._parts.items() if n.startswith(names)}
        return self._recall(_LENGTHS, {**parts, "key": key}, lambda: _read_lengths(dataset, key))

    def _find_max_cost(
        self, lengths: Sequence[float], find_capacity: Callable[[int], int | None]
    ) -> float:
        index = max(range(len(lengths)), key=lambda i: lengths[i])

        def measure() -> list[float]:
            size = find_capacity(index)
            return [(DEFAULT_COST if size is None else size) * lengths[index]]

        # Kept, because batches must be the same when an interrupted run goes on.
        return self._recall(_MAX_COST, self._parts, measure)[0]

    def _recall(
        self, name: str, parts: Mapping[str, str], measure: Callable[[], list[float]]
    ) -> list[float]:
        """Return what was measured once, as long as it depends on the same."""
        values, stamp = self._folder / f"{name}.npy", self._folder / f"{name}.json"
        digest = fingerprint(dict(parts))
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(stamp.read_text(encoding="utf-8"))["fingerprint"] == digest:
                return [float(value) for value in np.load(values, allow_pickle=False)]
        found = measure()
        stamp.unlink(missing_ok=True)
        with atomic_open(values, "wb") as stream:
            np.save(stream, np.asarray(found, np.float64), allow_pickle=False)
        write_json(stamp, {"fingerprint": digest})
        return found


def _read_lengths(dataset: Any, key: str) -> list[float]:
    """Read every sample; one that cannot be read is taken for long, and fails in its turn."""
    logger.info("The data set has no get_length; every sample is read once to learn its length")
    found: list[float | None] = []
    error: Exception | None = None
    for index in range(len(dataset)):
        try:
            found.append(float(len(dataset[index][key])))
        except Exception as caught:  # the code of the data set runs
            caught.add_note(f"while reading the length of {key!r} of item {index}")
            error = error or caught
            found.append(None)
    known = [length for length in found if length is not None]
    if error is not None and not known:
        error.add_note("`execution.batching.length_key` says which field has the length")
        raise error
    if error is not None:
        count = len(found) - len(known)
        logger.warning("%d samples have no readable length, the first: %r", count, error)
    longest = max(known, default=0.0)
    return [longest if length is None else length for length in found]
