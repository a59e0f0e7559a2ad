"""Batches of samples for a model, and what to do when one does not fit into memory."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import NamedTuple

from espnet3.components.inference.settings import BatchingSettings, choose_mode

DEFAULT_COST = 20
"""Most samples of the greatest length in a ``dynamic`` batch, where nothing else is known."""

_BACKOFF = 0.8
_GOOD_BATCHES = 200
_RAISE = 1.25


class Batch(NamedTuple):
    """Samples that go to the model together."""

    indices: tuple[int, ...]
    """Positions in the data set."""
    is_list: bool = True
    """Whether the model gets lists, also of one sample."""
    longest: float = 1.0
    """Length of the longest sample; 1 if it is not known."""

    @property
    def cost(self) -> float:
        """Memory that the batch takes, in arbitrary units."""
        return self.longest * len(self.indices)

    def halves(self) -> tuple[Batch, Batch]:
        """Return both halves of a batch of two or more."""
        middle = len(self.indices) // 2
        return (
            Batch(self.indices[:middle], self.is_list, self.longest),
            Batch(self.indices[middle:], self.is_list, self.longest),
        )

    def without(self, indices: Collection[int]) -> list[Batch]:
        """Return one batch of the others, if there are any, and one for each of the given ones."""
        rest = tuple(index for index in self.indices if index not in indices)
        parts = [Batch(rest, self.is_list, self.longest)] if rest else []
        return parts + [Batch((i,), self.is_list, self.longest) for i in indices]

    def singles(self) -> list[Batch]:
        """Return one batch for each sample."""
        return self.without(self.indices)


def plan_batches(
    num_samples: int,
    settings: BatchingSettings,
    *,
    batch_size: int | None = None,
    lengths: Sequence[float] | None = None,
    max_cost: float | None = None,
) -> list[Batch]:
    """Return batches with every sample of a data set once.

    The plan depends on nothing else, so it is the same for any number of workers.

    Args:
        num_samples: Length of the data set.
        settings: How to batch.
        batch_size: Size of ``fixed`` batches.
        lengths: Length of each sample, for ``dynamic``.
        max_cost: Limit of ``dynamic`` batches where the settings have none.

    Raises:
        SettingError: If mode and ``batch_size`` do not fit together.
        ValueError: If ``dynamic`` has no lengths.

    Example:
        >>> settings = BatchingSettings(mode="dynamic", max_cost=8)
        >>> [batch.indices for batch in plan_batches(3, settings, lengths=[1, 5, 4])]
        [(1,), (2, 0)]
    """
    mode = choose_mode(settings, batch_size)
    if mode == "single":
        return [Batch((index,), is_list=False) for index in range(num_samples)]
    if mode == "fixed":
        size = batch_size or 1
        return [
            Batch(tuple(range(start, min(start + size, num_samples))))
            for start in range(0, num_samples, size)
        ]
    if lengths is None or len(lengths) != num_samples:
        raise ValueError("dynamic batches need the length of every sample")
    cost = settings.max_cost or max_cost or DEFAULT_COST * max(lengths, default=0)
    return _pack(lengths, settings.max_batch_size, cost)


def _pack(lengths: Sequence[float], max_size: int, max_cost: float) -> list[Batch]:
    """Fill batches from the longest sample on: what does not fit into memory shows at once."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[Batch] = []
    chosen: list[int] = []
    for index in order:
        longest = lengths[chosen[0]] if chosen else lengths[index]
        is_full = len(chosen) >= max_size or longest * (len(chosen) + 1) > max_cost
        if chosen and is_full:
            batches.append(Batch(tuple(chosen), longest=lengths[chosen[0]]))
            chosen = []
        chosen.append(index)
    if chosen:
        batches.append(Batch(tuple(chosen), longest=lengths[chosen[0]]))
    return batches


class CostLimit:
    """The largest batch that fits into memory, learnt from those that did not."""

    def __init__(self) -> None:
        self.limit: float | None = None
        """Largest cost of a batch; ``None`` while all have fitted."""
        self._good = 0

    def fit(self, batch: Batch) -> list[Batch]:
        """Return the batch, cut into halves until each part is within the limit."""
        if self.limit is None or batch.cost <= self.limit or len(batch.indices) == 1:
            return [batch]
        return [part for half in batch.halves() for part in self.fit(half)]

    def failed(self, batch: Batch) -> None:
        """Note a batch that did not fit."""
        self.limit = _BACKOFF * min(batch.cost, self.limit or batch.cost)
        self._good = 0

    def fitted(self) -> None:
        """Note a batch that did; after many of them the limit is raised with care."""
        self._good += 1
        if self.limit is not None and self._good >= _GOOD_BATCHES:
            self.limit *= _RAISE
            self._good = 0


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it was raised from, is a lack of memory."""
    if error is None:
        return False
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    text = str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(sign in text for sign in ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED"))
    ):
        return True
    return is_out_of_memory(error.__cause__)


def release_memory() -> None:
    """Give memory that nothing uses back to the device."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
