"""Locks between processes."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from espnet3.errors import StageError
from espnet3.utils.types import PathLike, Seconds

logger = logging.getLogger(__name__)

_POLL_SEC = 0.2


@contextlib.contextmanager
def file_lock(
    path: PathLike, *, timeout: Seconds | None = None, advice: str = ""
) -> Iterator[None]:
    """Hold a lock that at most one process has at a time.

    The operating system frees it when its holder dies, however that happens. The file stays.

    Args:
        path: Lock file; created with its folder when absent.
        timeout: How long to wait for another holder; ``None`` waits forever.
        advice: What to do about a lock that is still held; ends the error message.

    Raises:
        StageError: If the lock is still held after ``timeout``.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("a+", encoding="utf-8") as stream:
        _acquire(stream.fileno(), target, timeout, advice)
        stream.truncate(0)
        stream.write(f"{os.getpid()} on {os.uname().nodename}\n")
        stream.flush()
        yield


def read_holder(path: PathLike) -> str | None:
    """Return who holds the lock as far as its file can tell, ``None`` if nobody does.

    A process of another machine is taken as alive, with that said.
    """
    try:
        pid, _, host = Path(path).read_text(encoding="utf-8").strip().partition(" on ")
        if host != os.uname().nodename:
            return f"last held by process {pid} on {host}"
        os.kill(int(pid), 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    except PermissionError:  # somebody else's
        pass
    return f"running as process {pid}"


def _acquire(descriptor: int, path: Path, timeout: Seconds | None, advice: str) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = path.read_text(encoding="utf-8").strip() or "unknown"
        if deadline is not None and time.monotonic() >= deadline:
            waited = f" after {timeout:g} s" if timeout else ""
            text = f"{path} is {'still ' * bool(waited)}locked by process {holder}{waited}"
            raise StageError(f"{text}\n  {advice}" if advice else text)
        if not told:
            logger.info("waiting for process %s, which holds %s", holder, path)
            told = True
        time.sleep(_POLL_SEC)
