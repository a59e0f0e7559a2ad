"""End a process that hangs."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
from collections.abc import Iterator

from espnet3.utils.types import Seconds


def time_limit(seconds: Seconds | None) -> contextlib.AbstractContextManager[None]:
    """End this process, with the tracebacks of its threads, when the block takes longer.

    Args:
        seconds: Limit; ``None`` for none.
    """
    return contextlib.nullcontext() if seconds is None else _limit(seconds)


@contextlib.contextmanager
def _limit(seconds: Seconds) -> Iterator[None]:
    # It works without the interpreter, which code that hangs may hold.
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or 2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
