"""Batches in groups, so that what is done once per group costs next to nothing.

Code between two calls of a model finds its caches cold and takes several times as long as in a loop
of its own: a group is decoded first and written afterwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from espnet3.components.inference.batching import Batch
from espnet3.utils.types import Seconds

_GROUP_SEC: Seconds = 0.1
_GROWTH = 4
_MOST_BATCHES = 256


@dataclass
class Group:
    """Batches that go through the stages of an engine together."""

    batches: Sequence[Batch]
    seconds: Seconds = 0.0
    """Time spent on it so far."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(len(batch.indices) for batch in self.batches)


class Groups:
    """Cut batches into groups of about a tenth of a second; slow batches stay alone.

    Args:
        batches: Work in its order.

    Example:
        >>> groups = Groups([Batch((i,)) for i in range(6)])
        >>> pieces = iter(groups)
        >>> first = next(pieces)
        >>> len(first)
        1
        >>> first.seconds = 0.001
        >>> groups.record(first)
        >>> len(next(pieces))
        4
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)
        self._size = 1

    def __iter__(self) -> Iterator[Group]:
        while batches := list(itertools.islice(self._batches, self._size)):
            yield Group(batches)

    def record(self, group: Group) -> None:
        """Learn from the time that a group took."""
        count = len(group.batches)
        wanted = int(_GROUP_SEC * count / max(group.seconds, 1e-7))
        self._size = max(1, min(wanted, _GROWTH * count, _MOST_BATCHES))
