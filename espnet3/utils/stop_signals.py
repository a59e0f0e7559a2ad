"""Signals by which a batch system asks a process to end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StageInterrupted(SystemExit):
    """A signal ended the stage; the exit status is the one of a process that it killed."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name

    def __str__(self) -> str:
        """Name the signal."""
        return f"ended by {self.name}"


@dataclass
class _State:
    pid: int = -1
    is_deferring: bool = False
    received: int | None = None
    owned: tuple[int, ...] = ()


_state = _State()


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGUSR1 into :class:`StageInterrupted` inside the block.

    Signals that the application handles itself stay with it; so do all of them outside the main
    thread, where Python cannot handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    ours = tuple(number for number in STOP_SIGNALS if before[number] is signal.SIG_DFL)
    _state.pid, _state.owned = os.getpid(), ours
    try:
        for number in ours:
            signal.signal(number, _handle)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
        _state.received, _state.owned = None, ()


@contextlib.contextmanager
def deferred_stop() -> Iterator[None]:
    """Only note the first signal inside the block; the code there looks for it and ends in order.

    A second signal ends the block at once.
    """
    # Lightning puts handlers of its own in front, which make ranks talk while they do so already.
    wrapped = {number: signal.getsignal(number) for number in _state.owned}
    _state.is_deferring = True
    try:
        for number in wrapped:
            signal.signal(number, _handle)
        yield
    finally:
        _state.is_deferring = False
        for number, handler in wrapped.items():
            signal.signal(number, handler)


def received_signal() -> int | None:
    """Return the number of the signal that was noted in a :func:`deferred_stop` block."""
    return _state.received


def end_if_asked() -> None:
    """End the program where a signal was noted too late for the block that deferred it.

    Raises:
        StageInterrupted: In that case.
    """
    if _state.received is not None:
        raise StageInterrupted(_state.received)


def _handle(number: int, frame: FrameType | None) -> None:
    # A forked worker inherits this handler, but not the loop that would look for the signal.
    if _state.is_deferring and _state.received is None and os.getpid() == _state.pid:
        _state.received = number
        return
    raise StageInterrupted(number)
