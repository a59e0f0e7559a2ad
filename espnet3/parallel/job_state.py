"""Who works on a detached job, and why it died, by files beside its spec file."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from espnet3.utils.lock_utils import read_holder
from espnet3.utils.path_utils import atomic_open, write_text
from espnet3.utils.redaction import redact_message
from espnet3.utils.stop_signals import stop_signals
from espnet3.utils.types import Seconds

_BEAT_EVERY: Seconds = 10.0
_SILENCE: Seconds = 300.0
"""A job of another machine that gave no sign for so long is dead."""
_LOG_LINES = 5


def log_file(spec_path: Path) -> Path:
    """Return where a process of this machine writes; batch systems have places of their own."""
    return spec_path.with_suffix(".log")


def note_process(spec_path: Path, pid: int) -> None:
    """Write down which process of this machine works on a job."""
    write_text(_process_file(spec_path), f"{pid} on {os.uname().nodename}\n")


@contextlib.contextmanager
def sign_of_life(spec_path: Path) -> Iterator[None]:
    """Tell, while the block works on a job, that it does, and afterwards why it failed.

    SIGTERM, by which batch systems end jobs, counts as a failure. One that is over is forgotten
    when the job begins again.
    """
    _error_file(spec_path).unlink(missing_ok=True)
    note_process(spec_path, os.getpid())
    with _heartbeat(_process_file(spec_path)):
        try:
            with stop_signals():
                yield
        except BaseException as error:
            with atomic_open(_error_file(spec_path), private=True) as stream:
                stream.write(redact_message("".join(traceback.format_exception_only(error))))
            raise


@contextlib.contextmanager
def _heartbeat(path: Path) -> Iterator[None]:
    """Set the time of a file again and again."""
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(_BEAT_EVERY):
            with contextlib.suppress(OSError):  # a file system that is away for a while
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def find_holder(spec_path: Path) -> str | None:
    """Return which process works on a job, ``None`` if none has begun or it is gone."""
    return read_holder(_process_file(spec_path))


def find_death(spec_path: Path) -> str | None:
    """Return why a job ended before its time, ``None`` if it works or waits to be started.

    What a job that has done all its items left is not told apart, so look at its results
    afterwards.
    """
    with contextlib.suppress(FileNotFoundError):
        return _error_file(spec_path).read_text(encoding="utf-8").strip()
    try:
        silence = time.time() - _process_file(spec_path).stat().st_mtime
    except FileNotFoundError:
        return None
    holder = find_holder(spec_path)
    if holder is None:
        return "\n".join(["its process is gone, was it killed?", *_last_lines(log_file(spec_path))])
    if holder.startswith("running") or silence < _SILENCE:
        return None
    return f"no sign of life for {silence / 60:.0f} min, {holder}"


def _last_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [redact_message(line) for line in lines[-_LOG_LINES:]]


def _process_file(spec_path: Path) -> Path:
    return spec_path.with_suffix(".process")


def _error_file(spec_path: Path) -> Path:
    return spec_path.with_suffix(".error")
