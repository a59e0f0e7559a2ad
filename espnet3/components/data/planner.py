"""Which utterances make up which batch, on which rank, in which step.

A plan is a function of the lengths, the settings, the epoch and the world size, and of nothing
else: its order comes from a counter-based hash, not from a random-number library, so it is the same
in every process, on every platform and in every release.
"""

from __future__ import annotations

import logging
from functools import cached_property
from hashlib import sha256

import numpy as np

from espnet3.components.data.batch_plan import BatchPlan
from espnet3.components.data.settings import PlannerSettings
from espnet3.errors import DataError, SettingError

logger = logging.getLogger(__name__)

_TOO_LONG_SHOWN = 5


class BatchPlanner:
    """Group utterances of similar length into batches under a budget.

    Utterances are sorted into buckets of similar length, shuffled inside them, laid out from long
    to short, and cut; the size of a batch follows from the longest utterance of the bucket where
    it begins. So ``n * longest <= max_tokens`` holds for every batch, the number of batches is the
    same in every epoch, and only one batch of an epoch can be smaller than its bucket allows.

    Args:
        lengths: Length of every utterance in the unit of ``max_tokens``, int, shape ``(N,)``.
        settings: Budget, limits and order.

    Raises:
        DataError: If no utterance is left, or one is above the budget and ``oversize`` is
            ``error``.
        SettingError: If ``min_batch_size`` utterances do not fit into the budget.
    """

    def __init__(self, lengths: np.ndarray, settings: PlannerSettings) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.settings = settings
        kept = self._filter()
        if not len(kept):
            raise DataError("no utterance is left to make batches of; see the log for the filters")
        edges = _bucket_edges(self.lengths[kept], settings.num_buckets)
        # Bucket 0 holds the longest utterances.
        bucket = len(edges) - np.searchsorted(edges, self.lengths[kept], side="left")
        order = np.argsort(bucket, kind="stable")
        self._kept = kept[order].astype(np.int32 if len(self.lengths) < 2**31 else np.int64)
        self._bucket = bucket[order].astype(np.uint64)
        self._cuts = self._cut()

    @cached_property
    def digest(self) -> str:
        """Identity of the lengths."""
        return sha256(np.ascontiguousarray(self.lengths, dtype="<i8").data).hexdigest()

    def plan(self, epoch: int, world_size: int = 1) -> BatchPlan:
        """Return the batches of an epoch.

        Args:
            epoch: Number of the epoch; without ``shuffle`` every epoch is like epoch 0.
            world_size: Number of ranks that share the batches.
        """
        epoch_of_order = epoch if self.settings.shuffle else 0
        permutation = self._shuffle_inside_buckets(epoch_of_order)
        starts, ends = self._make_divisible(world_size, epoch_of_order)
        repeated = len(starts) - len(np.unique(starts))
        dropped = len(permutation) - int((ends - starts).sum()) if not repeated else 0
        order = self._order_steps(len(starts) // world_size, epoch_of_order)
        chosen = (order[:, None] * world_size + np.arange(world_size)).reshape(-1)
        return BatchPlan(
            epoch=epoch,
            world_size=world_size,
            permutation=permutation,
            starts=starts[chosen],
            ends=ends[chosen],
            num_dropped=dropped,
            num_repeated=repeated,
        )

    def _filter(self) -> np.ndarray:
        lengths, settings = self.lengths, self.settings
        keep = np.ones(len(lengths), dtype=bool)
        if settings.min_length is not None:
            keep &= lengths >= settings.min_length
        if settings.max_length is not None:
            keep &= lengths <= settings.max_length
        outside = len(lengths) - int(keep.sum())
        if outside:
            logger.info("batch planner: left out by length=%d of=%d", outside, len(lengths))
        if settings.max_tokens is not None:
            too_long = keep & (lengths > settings.max_tokens)
            if too_long.any():
                keep &= self._treat_too_long(np.flatnonzero(too_long))
        return np.flatnonzero(keep)

    def _treat_too_long(self, positions: np.ndarray) -> np.ndarray:
        """Return which utterances stay."""
        settings, lengths = self.settings, self.lengths
        shown = ", ".join(f"#{i} ({lengths[i]})" for i in positions[:_TOO_LONG_SHOWN])
        text = f"{len(positions)} utterances are longer than {settings.max_tokens}: {shown}"
        if settings.oversize == "error":
            raise DataError(f"{text}\n  raise max_tokens, or set oversize: warn_skip or single")
        stays = np.ones(len(lengths), dtype=bool)
        if settings.oversize == "warn_skip":
            logger.warning("batch planner: %s; they are left out", text)
            stays[positions] = False
        return stays

    def _cut(self) -> np.ndarray:
        """Return the batch boundaries; they do not depend on the epoch."""
        total = len(self._kept)
        longest_first = self.lengths[self._kept]
        edges = np.concatenate([[0], np.flatnonzero(np.diff(self._bucket)) + 1, [total]])
        smallest = self.settings.min_batch_size
        pieces, start, fixed = [], 0, 0
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            size = self._capacity(int(longest_first[begin:end].max()))
            boundaries = np.arange(start, end, size)
            if len(boundaries):
                pieces.append(boundaries)
                start = int(boundaries[-1]) + size
            if size < smallest:
                fixed = start
        cuts = np.concatenate([*pieces, [total]])
        # The last batch may be too small: move the boundaries before it back as far as needed.
        latest = total - smallest * np.arange(len(cuts) - 1, -1, -1)
        moved = np.maximum(np.minimum(cuts, latest), fixed)
        return np.unique(np.where(cuts <= fixed, cuts, moved)).astype(np.int64)

    def _capacity(self, longest: int) -> int:
        """Return how many utterances of this length a batch may hold."""
        settings = self.settings
        if settings.max_tokens is None:
            return int(settings.max_batch_size or 1)
        size = settings.max_tokens // max(longest, 1)
        if settings.max_batch_size is not None:
            size = min(size, settings.max_batch_size)
        if size < settings.min_batch_size and longest <= settings.max_tokens:
            raise SettingError(
                f"only {size} utterances of length {longest} fit into max_tokens ="
                f" {settings.max_tokens}",
                key="min_batch_size",
                value=settings.min_batch_size,
            )
        return max(size, 1)

    def _shuffle_inside_buckets(self, epoch: int) -> np.ndarray:
        if not self.settings.shuffle:
            return self._kept
        draw = _hash(self._kept.astype(np.uint64), self.settings.seed, epoch, stream=0)
        # Bucket number in the high bits, draw in the rest: one sort does both.
        high = np.uint64(max(int(self._bucket[-1]).bit_length(), 1))
        key = (self._bucket << (np.uint64(64) - high)) | (draw >> high)
        return self._kept[np.argsort(key, kind="stable")]

    def _make_divisible(self, world_size: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return starts and ends of as many batches as go round all ranks, from long to short."""
        starts, ends = self._cuts[:-1], self._cuts[1:]
        surplus = len(starts) % world_size
        if surplus == 0:
            return starts, ends
        by_chance = np.argsort(self._draw(len(starts), epoch, stream=1), kind="stable")
        if self.settings.tail == "drop" and len(starts) > surplus:
            keep = np.sort(by_chance[surplus:])
            return starts[keep], ends[keep]
        missing = world_size - surplus
        if self.settings.tail == "pad":
            starts, ends, missing = _split_largest(starts, ends, missing)
        if missing:
            extra = np.sort(np.resize(by_chance, missing))
            places = np.sort(np.concatenate([np.arange(len(starts)), extra]), kind="stable")
            starts, ends = starts[places], ends[places]
        return starts, ends

    def _order_steps(self, count: int, epoch: int) -> np.ndarray:
        if self.settings.order == "descending":
            return np.arange(count)
        if self.settings.order == "ascending":
            return np.arange(count)[::-1]
        return np.argsort(self._draw(count, epoch, stream=2), kind="stable")

    def _draw(self, count: int, epoch: int, stream: int) -> np.ndarray:
        return _hash(np.arange(count, dtype=np.uint64), self.settings.seed, epoch, stream=stream)


def _bucket_edges(lengths: np.ndarray, num_buckets: int) -> np.ndarray:
    """Return upper edges of all buckets but the last, so that each has about equal total length."""
    ordered = np.sort(lengths)
    total = np.cumsum(ordered)
    targets = total[-1] * np.arange(1, num_buckets) / num_buckets
    places = np.minimum(np.searchsorted(total, targets), len(ordered) - 1)
    return np.unique(ordered[places])


def _split_largest(
    starts: np.ndarray, ends: np.ndarray, wanted: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Cut the batches with most utterances in two; return how many cuts were not possible."""
    sizes = ends - starts
    largest = np.argsort(-sizes, kind="stable")[:wanted]
    largest = np.sort(largest[sizes[largest] >= 2])
    middles = starts[largest] + (sizes[largest] + 1) // 2
    cuts = np.sort(np.concatenate([starts, middles]))
    return cuts, np.append(cuts[1:], ends[-1]), wanted - len(largest)


def _hash(values: np.ndarray, seed: int, epoch: int, *, stream: int) -> np.ndarray:
    """Mix counters with seed, epoch and stream (finaliser of SplitMix64, Steele et al., 2014)."""
    key = sha256(f"{seed}/{epoch}/{stream}".encode()).digest()[:8]
    mixed = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = mixed ^ np.frombuffer(key, dtype="<u8")
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    result: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return result
