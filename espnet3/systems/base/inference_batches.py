"""Decide which samples of a test set share a batch."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet3.components.inference.batching import DEFAULT_COST, Batch, plan_batches
from espnet3.components.inference.settings import BatchingSettings, choose_mode
from espnet3.systems.base.inference_lengths import find_lengths
from espnet3.systems.base.inference_windows import Window, WindowReader
from espnet3.utils.fingerprint import fingerprint
from espnet3.utils.path_utils import atomic_open, write_json

logger = logging.getLogger(__name__)

_LENGTHS = "lengths"
_MAX_COST = "max_cost"
_READ = "reading the samples"
_DATA_PARTS = ("data.", "code.", "config.dataset", "config.data_dir", "config.recipe_dir")


class BatchPlan:
    """The batches of a test set, and what was measured to make them.

    Args:
        settings: ``execution.batching``.
        batch_size: Size of ``fixed`` batches.
        key: Field whose length counts.
        folder: Keeps what was measured, for the next run.
        parts: Digests of what the outputs depend on; what was measured counts while they stay.
        training_config: ``training.yaml`` of the model, which knows where lengths may be.
    """

    def __init__(
        self,
        settings: BatchingSettings,
        *,
        batch_size: int | None,
        key: str,
        folder: Path,
        parts: Mapping[str, str],
        training_config: Path | None = None,
    ) -> None:
        self.max_cost = settings.max_cost
        """Limit of ``dynamic`` batches; ``None`` if unknown yet."""
        self._settings = settings
        self._batch_size = batch_size
        self._key = settings.length_key or key
        self._folder = folder
        self._parts = parts
        self._training_config = training_config
        self._windows: list[Window] = []
        self._cost = self._length = 0.0

    @property
    def padding_waste(self) -> float | None:
        """Part of the ``dynamic`` batches so far that is padding, from 0 to 1."""
        return round(1.0 - self._length / self._cost, 4) if self._cost else None

    def make(
        self,
        dataset: Any,
        num_samples: int,
        *,
        find_capacity: Callable[[int], int | None],
        open_reader: Callable[[str], WindowReader],
        is_done: Callable[[int], bool] | None = None,
    ) -> Generator[list[Batch], None, None]:
        """Yield batches with each of the first samples once, all at once or by windows.

        Args:
            dataset: Tells lengths.
            num_samples: How many samples to decode.
            find_capacity: Returns how many samples like the given one fit into one call, ``None``
                if nothing limits that.
            open_reader: Returns what reads samples, if only that tells their lengths.
            is_done: Tells which samples need no decoding: batches of such are left out, windows
                not read; ``None`` if there are none.
        """
        if choose_mode(self._settings, self._batch_size) != "dynamic":
            batches = plan_batches(num_samples, self._settings, batch_size=self._batch_size)
            yield _divide(batches, is_done)[1]
            return
        known = self._known_windows(dataset)
        reader = None if known else open_reader(self._key)
        windows = (w for w in known) if reader is None else reader.read(num_samples, is_done)
        with contextlib.closing(windows):
            for window in windows:
                if reader is not None:
                    self._windows.append(window)
                if self.max_cost is None:
                    self.max_cost = self._find_max_cost(window, find_capacity)
                batches = self._pack(window, num_samples)
                done, left = _divide(batches, is_done)
                if reader is not None:
                    reader.forget(index for batch in done for index in batch.indices)
                yield left

    def save(self, num_samples: int) -> None:
        """Keep the lengths of a test set that was read window by window, and where they ended.

        Only once it is decoded, so that what goes on after an interruption has the same batches.
        """
        if not self._windows or sum(len(w.indices) for w in self._windows) < num_samples:
            return
        values = [length for window in self._windows for length in window.lengths]
        ends = [window.indices.stop for window in self._windows]
        self._keep(_LENGTHS, self._length_parts, values, source=_READ, ends=ends)

    @property
    def _length_parts(self) -> dict[str, str]:
        parts = {n: v for n, v in self._parts.items() if n.startswith(_DATA_PARTS)}
        return {**parts, "key": self._key, "window": str(self._settings.window)}

    def _known_windows(self, dataset: Any) -> list[Window]:
        """Return the whole set as one window, or those by which it was read; none if unknown."""
        kept = self._recall(_LENGTHS, self._length_parts)
        if kept is not None and len(kept[0]) == len(dataset):
            values, notes = kept
            logger.info("Lengths: from %s (%s)", self._folder / f"{_LENGTHS}.npy", notes["source"])
            starts = [0, *notes["ends"]]
            cuts = [range(a, b) for a, b in itertools.pairwise(starts)]
            return [Window(indices=c, lengths=values[c.start : c.stop]) for c in cuts]
        found = find_lengths(dataset, self._key, self._training_config)
        if found is None:
            logger.info("Lengths: from reading the samples, %d at a time", self._settings.window)
            return []
        logger.info("Lengths: from %s", found.source)
        ends = [len(found.values)]
        self._keep(_LENGTHS, self._length_parts, found.values, source=found.source, ends=ends)
        return [Window(indices=range(len(found.values)), lengths=found.values)]

    def _pack(self, window: Window, num_samples: int) -> list[Batch]:
        """Return the batches of those samples of a window that are wanted."""
        first, count = (
            window.indices.start,
            min(window.indices.stop, num_samples) - window.indices.start,
        )
        lengths = window.lengths[: max(0, count)]
        batches = [
            Batch(tuple(first + index for index in batch.indices), longest=batch.longest)
            for batch in plan_batches(
                len(lengths), self._settings, lengths=lengths, max_cost=self.max_cost
            )
        ]
        self._cost += sum(batch.cost for batch in batches)
        self._length += sum(lengths)
        logger.info(
            "Batches: count=%d max_cost=%g padding=%.1f%%",
            len(batches),
            self.max_cost,
            100 * (self.padding_waste or 0.0),
        )
        return batches

    def limits(self) -> dict[str, Any]:
        """Return what limits the batches, besides ``max_cost``."""
        mode = choose_mode(self._settings, self._batch_size)
        most = self._settings.max_batch_size if mode == "dynamic" else self._batch_size
        return {"mode": mode, "max_batch_size": most or 1}

    def _find_max_cost(self, window: Window, find_capacity: Callable[[int], int | None]) -> float:
        kept = self._recall(_MAX_COST, self._parts)
        if kept is not None:
            return kept[0][0]
        length, index = max(
            zip(window.lengths, window.indices, strict=True), key=lambda pair: pair[0]
        )
        size = find_capacity(index)
        found = (DEFAULT_COST if size is None else size) * length
        # Kept, because batches must be the same when an interrupted run goes on.
        self._keep(_MAX_COST, self._parts, [found])
        return found

    def _recall(
        self, name: str, parts: Mapping[str, str]
    ) -> tuple[list[float], dict[str, Any]] | None:
        """Return what was measured once, as long as it depends on the same."""
        values, stamp = self._folder / f"{name}.npy", self._folder / f"{name}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            notes = json.loads(stamp.read_text(encoding="utf-8"))
            if notes["fingerprint"] == fingerprint(dict(parts)):
                found = np.load(values, allow_pickle=False)
                return [float(value) for value in found], notes
        return None

    def _keep(
        self, name: str, parts: Mapping[str, str], found: Sequence[float], **notes: Any
    ) -> None:
        values, stamp = self._folder / f"{name}.npy", self._folder / f"{name}.json"
        stamp.unlink(missing_ok=True)
        with atomic_open(values, "wb") as stream:
            np.save(stream, np.asarray(found, np.float64), allow_pickle=False)
        write_json(stamp, {"fingerprint": fingerprint(dict(parts)), **notes})


def _divide(
    batches: list[Batch], is_done: Callable[[int], bool] | None
) -> tuple[list[Batch], list[Batch]]:
    """Return the batches that are done and the others.

    A batch is decoded as a whole or not at all: its samples must not depend on the past.
    """
    if is_done is None:
        return [], batches
    done: list[Batch] = []
    left: list[Batch] = []
    for batch in batches:
        (done if all(map(is_done, batch.indices)) else left).append(batch)
    return done, left
