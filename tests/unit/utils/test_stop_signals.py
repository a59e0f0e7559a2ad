from __future__ import annotations

import os
import signal
import threading

import pytest

from espnet3.utils.stop_signals import (
    StageInterrupted,
    deferred_stop,
    received_signal,
    stop_signals,
)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_ends_the_block_with_the_status_of_a_killed_process(number, status):
    with pytest.raises(StageInterrupted) as caught, stop_signals():
        send(number)
    assert caught.value.code == status
    assert str(caught.value) == f"ended by {number.name}"
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_deferred_signal_is_noted_and_a_second_one_ends_the_block():
    with stop_signals(), deferred_stop():
        send(signal.SIGUSR1)
        assert received_signal() == signal.SIGUSR1
        with pytest.raises(StageInterrupted):
            send(signal.SIGTERM)
    assert received_signal() is None


def test_handlers_of_the_application_stay(monkeypatch):
    seen = []
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        with stop_signals(), deferred_stop():
            send(signal.SIGUSR1)
        send(signal.SIGUSR1)
        assert seen == [signal.SIGUSR1] * 2
        assert received_signal() is None
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_other_threads_leave_signals_alone():
    before = signal.getsignal(signal.SIGTERM)

    def enter():
        with stop_signals():
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers: list = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [before]
