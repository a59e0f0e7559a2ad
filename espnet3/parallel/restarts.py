"""How many workers a run may lose, and how long work waits for those that replace them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from espnet3.errors import ParallelError
from espnet3.utils.types import Seconds

PER_WORKER = 3
"""Restarts of a run for each of its workers."""
_FIRST_PAUSE: Seconds = 0.1
_LONGEST_PAUSE: Seconds = 10.0
_SHOWN = 3
_STEP: Seconds = 0.05


class Restarts:
    """Count the workers that died in a run, and give in when there are too many.

    Workers that died of a unit of work that is known by now, and given up, do not count once other
    work has succeeded: they say nothing about the machine.

    Args:
        num_workers: Workers of the run.
        least: Deaths that one unit needs to be known as their cause; so many are always allowed.
        forgets: Whether finished work makes up for the deaths before it, as where a batch system
            ends workers with their time.

    Example:
        >>> restarts = Restarts(num_workers=1)
        >>> restarts.note("tcp://10.0.0.1:1", "0 (SIGKILL)")
        >>> restarts.check(logs="worker.log")
        >>> restarts.num_resting
        1
    """

    def __init__(self, *, num_workers: int, least: int = 0, forgets: bool = False) -> None:
        self._num_workers = num_workers
        self._limit = max(PER_WORKER * num_workers, least)
        self._forgets = forgets
        self._has_finished = False
        self._deaths: dict[str, str] = {}
        """Address → worker, cause and time."""
        self._known: set[str] = set()
        self._rests: list[float] = []

    @property
    def total(self) -> int:
        """Workers that died, for whatever reason."""
        return len(self._deaths) + len(self._known)

    def note(self, address: str, description: str) -> None:
        """Count the death of a worker, once."""
        if address in self._deaths or address in self._known:
            return
        self._deaths[address] = f"{description} at {time.strftime('%H:%M:%S')}"
        pause = _FIRST_PAUSE * 2.0 ** min(len(self._deaths) - 1, 16)
        self._rests.append(time.monotonic() + min(pause, _LONGEST_PAUSE))

    def explain(self, addresses: Iterable[str]) -> None:
        """Do not count workers any more that died of work which is given up."""
        if self._has_finished:
            for address in addresses:
                self._deaths.pop(address, None)
                self._known.add(address)

    def finished(self) -> None:
        """Note that a worker has finished work."""
        self._has_finished = True
        if self._forgets and self._deaths:
            self.explain(list(self._deaths))

    def check(self, *, logs: str) -> None:
        """Raise if too many workers have died.

        Args:
            logs: Where their logs are, for the message.

        Raises:
            ParallelError: With the last of them.
        """
        if len(self._deaths) > self._limit:
            last = "; ".join(list(self._deaths.values())[-_SHOWN:])
            raise ParallelError(
                f"{len(self._deaths)} workers died, more than the {self._limit} that a run with "
                f"parallel.n_workers: {self._num_workers} replaces\n"
                f"  the last: worker {last}\n"
                f"  logs: {logs}\n"
                "  did they run out of memory (options of `parallel`, smaller batches)?"
            )

    @property
    def num_resting(self) -> int:
        """Workers that died a moment ago; the more died, the longer it takes."""
        now = time.monotonic()
        self._rests = [end for end in self._rests if end > now]
        return min(len(self._rests), self._num_workers)

    def wait(self, must_stop: Callable[[], bool]) -> None:
        """Return when one worker does not rest, or on a signal to stop."""
        while self.num_resting == self._num_workers and not must_stop():
            time.sleep(_STEP)
