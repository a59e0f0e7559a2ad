"""Signals by which a batch system asks a process to end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from espnet3.utils.types import Seconds

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
    grace: Seconds | None = None
    timer: threading.Timer | None = None


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
def deferred_stop(*, interrupts: bool = False, grace: Seconds | None = None) -> Iterator[None]:
    """Only note the first signal inside the block; the code there looks for it and ends in order.

    A second signal ends the block at once.

    Args:
        interrupts: Whether Ctrl-C counts too, unless the application handles it.
        grace: Time after which the block is ended as by a second signal; ``None`` for no limit.
    """
    # Lightning puts handlers of its own in front, which make ranks talk while they do so already.
    wrapped = {number: signal.getsignal(number) for number in _state.owned}
    is_main = threading.current_thread() is threading.main_thread()
    if interrupts and is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        wrapped[signal.SIGINT] = signal.default_int_handler
    # An error may have ended an earlier block before anybody asked for its signal.
    _state.received = None
    _state.pid, _state.is_deferring, _state.grace = os.getpid(), True, grace
    try:
        for number in wrapped:
            signal.signal(number, _handle)
        yield
    finally:
        _state.is_deferring = False
        if _state.timer is not None:
            _state.timer.cancel()
        for number, handler in wrapped.items():
            signal.signal(number, handler)


def received_signal() -> int | None:
    """Return the number of the signal that was noted in a :func:`deferred_stop` block."""
    return _state.received


def end_if_asked() -> None:
    """End the program where a signal was noted too late for the block that deferred it.

    Raises:
        StageInterrupted: In that case; for Ctrl-C a ``KeyboardInterrupt``.
    """
    if _state.received is not None:
        number, _state.received = _state.received, None
        raise _interruption(number)


def _handle(number: int, frame: FrameType | None) -> None:
    # A forked worker inherits this handler, but not the loop that would look for the signal.
    if _state.is_deferring and _state.received is None and os.getpid() == _state.pid:
        _state.received = number
        if _state.grace is not None:
            _state.timer = threading.Timer(_state.grace, os.kill, (_state.pid, number))
            _state.timer.daemon = True
            _state.timer.start()
        return
    _state.received = None
    raise _interruption(number)


def _interruption(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else StageInterrupted(number)
