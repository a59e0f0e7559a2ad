"""A list of work from which workers pull pieces of about the same duration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from espnet3.utils.types import Seconds

U = TypeVar("U")

_PIECE_SEC: Seconds = 1.5
_MAX_UNITS = 4096
_GROWTH = 4


class Backlog(Generic[U]):
    """Units of work in the order in which they are handed out.

    Pieces start small, grow until one takes about a second and a half, so that handing them out
    costs next to nothing, and shrink towards the end, so that workers finish together.

    Args:
        units: Work, the part to be done first at the front.
        num_workers: Number of processes that share it.
        more: Further work, taken from there when the rest is getting short.

    Example:
        >>> backlog = Backlog(range(6), num_workers=1)
        >>> backlog.take()
        [0]
        >>> backlog.record(count=1, seconds=1e-4)
        >>> backlog.take()
        [1, 2, 3]
    """

    def __init__(
        self, units: Sequence[U], *, num_workers: int, more: Iterable[Sequence[U]] = ()
    ) -> None:
        self._units = units
        self._more = iter(more)
        self._num_workers = max(1, num_workers)
        self._next = 0
        self._size = 1
        self._unit_sec: Seconds | None = None

    def __len__(self) -> int:
        return len(self._units) - self._next

    def take(self) -> list[U]:
        """Return the next piece, an empty list when all work is handed out."""
        while len(self) < 4 * self._num_workers and self._refill():
            pass
        fair = -(-len(self) // (2 * self._num_workers))
        size = max(1, min(self._size, fair, _MAX_UNITS))
        piece = list(self._units[self._next : self._next + size])
        self._next += len(piece)
        return piece

    def _refill(self) -> bool:
        """Add further work; tell whether there was any."""
        units = next(self._more, None)
        if units is None:
            return False
        self._units, self._next = [*self._units[self._next :], *units], 0
        return True

    def record(self, *, count: int, seconds: Seconds) -> None:
        """Learn from a finished piece of ``count`` units."""
        unit_sec = max(seconds / count, 1e-7)
        # The newest pieces say most about those that follow: sorted work gets shorter.
        earlier = unit_sec if self._unit_sec is None else self._unit_sec
        self._unit_sec = 0.5 * earlier + 0.5 * unit_sec
        wanted = int(_PIECE_SEC / self._unit_sec)
        self._size = max(1, min(wanted, _GROWTH * max(self._size, count)))
