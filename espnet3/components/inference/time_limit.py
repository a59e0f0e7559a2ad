"""End a process that hangs."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator

from espnet3.utils.types import Seconds

_UNLIMITED = contextlib.nullcontext()
_LEAST: Seconds = 1e-3


class TimeLimit:
    """End this process, with the tracebacks of its threads, when a block takes longer.

    Blocks of several threads may be in work at once, and each has the time for itself. A process
    has one limit in force: it works without the interpreter, which code that hangs may hold.

    Args:
        seconds: Limit of each block; ``None`` for none.

    Example:
        >>> limit = TimeLimit(60.0)
        >>> with limit():
        ...     quick = 1 + 1
    """

    def __init__(self, seconds: Seconds | None) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._ends: deque[float] = deque()
        """When the time of each block in work is over, the first one in front."""

    def __call__(self) -> contextlib.AbstractContextManager[None]:
        """Return a context manager for one block."""
        return _UNLIMITED if self._seconds is None else self._limit(self._seconds)

    @contextlib.contextmanager
    def _limit(self, seconds: Seconds) -> Iterator[None]:
        with self._lock:
            end = time.monotonic() + seconds
            self._ends.append(end)
            if len(self._ends) == 1:
                self._arm()
        try:
            yield
        finally:
            with self._lock:
                is_next = self._ends[0] == end
                self._ends.remove(end)
                if is_next:
                    self._arm()

    def _arm(self) -> None:
        if not self._ends:
            faulthandler.cancel_dump_traceback_later()
            return
        left = max(self._ends[0] - time.monotonic(), _LEAST)
        faulthandler.dump_traceback_later(left, exit=True, file=sys.__stderr__ or 2)
