from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from espnet3.utils.stop_signals import (
    StageInterrupted,
    deferred_stop,
    end_if_asked,
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


def test_ctrl_c_is_deferred_too_where_asked():
    with deferred_stop(interrupts=True):
        send(signal.SIGINT)
        assert received_signal() == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        end_if_asked()
    end_if_asked()


def test_the_block_ends_by_itself_when_the_grace_is_over():
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), deferred_stop(interrupts=True, grace=0.2):
        send(signal.SIGINT)
        time.sleep(30)
    assert time.monotonic() - started < 15
    assert received_signal() is None


def test_a_block_that_ends_in_time_is_left_alone():
    with deferred_stop(interrupts=True, grace=0.1):
        send(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        end_if_asked()
    time.sleep(0.2)


def test_a_signal_before_an_error_does_not_stop_the_next_block():
    with pytest.raises(ValueError, match="broken"), deferred_stop(interrupts=True):
        send(signal.SIGINT)
        raise ValueError("broken")
    with deferred_stop(interrupts=True):
        assert received_signal() is None
    end_if_asked()
