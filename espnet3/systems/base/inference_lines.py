"""Append lines to a file so that those that exist survive kills and a full disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Self

from espnet3.utils.types import Seconds

SYNC_LINES = 1000
"""Lines that do not wait for the disk together with one more."""
_SYNC_EVERY: Seconds = 1.0
_LOOK_EVERY: Seconds = 0.2
_FLUSH_EVERY: Seconds = 0.1
_ROOM = 1 << 20
_PART_OF_FREE = 16


class LineFile:
    """A file that grows line by line, with room on the disk for the last ones.

    Lines wait a tenth of a second for the operating system and less than a second for the disk,
    also if nobody asks: a thread looks after them. When the disk is full, they go into the room
    that was kept for them; what does not even fit there stays here until there is space.

    Args:
        path: The file; nothing is done with it before ``open``.
        keeps_room: Whether a second file beside it keeps room.
    """

    def __init__(self, path: Path, *, keeps_room: bool = False) -> None:
        self.path = path
        self.end = 0
        """Where the next line begins."""
        self._room = path.with_name(f"{path.name}.room") if keeps_room else None
        self._handle: int | None = None
        self._waiting = bytearray()
        self._flushed = self._synced = time.monotonic()
        self._num_unsynced = 0
        self._lock = threading.RLock()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        # A full disk has been reported by then; what is complete stays readable.
        with contextlib.suppress(OSError):
            if self._handle is not None:
                self.sync()
        self.close()

    def open(self, *, end: int | None = 0) -> None:
        """Open the file.

        Args:
            end: Where the lines to keep end; ``None`` keeps all until ``cut`` is called.
        """
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        if end is not None:
            self.cut(end)
        if self._room is not None:
            _keep_room(self._room)
        self._closed.clear()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def is_due(self) -> bool:
        """Whether so many lines wait that they should be handed over."""
        return self._num_unsynced >= SYNC_LINES

    def cut(self, end: int = 0) -> None:
        """Drop all that follows a place."""
        with self._lock:
            self._waiting.clear()
            os.truncate(self._descriptor, end)
            self.end = os.lseek(self._descriptor, end, os.SEEK_SET)

    def append(self, line: str) -> None:
        """Add a line, which must hold no line break."""
        data = line.encode() + b"\n"
        with self._lock:
            self._waiting += data
        self.end += len(data)
        self._num_unsynced += 1

    def hand_over(self) -> None:
        """Hand lines to the operating system and to the disk, if that is some time ago.

        Raises:
            OSError: If the disk is full. The lines are on it all the same if its room was enough.
        """
        now = time.monotonic()
        if self.is_due or now - self._synced > _SYNC_EVERY:
            self.sync()
        elif now - self._flushed > _FLUSH_EVERY:
            self.flush()

    def sync(self) -> None:
        """Make sure that all lines are on the disk."""
        with self._lock:
            self._num_unsynced = 0
            self.flush()
            os.fsync(self._descriptor)
            self._synced = time.monotonic()

    def flush(self) -> None:
        """Hand all lines to the operating system."""
        with self._lock:
            self._flushed = time.monotonic()
            try:
                self._write()
            except OSError as error:
                error.add_note(f"while writing {self.path}")
                if self._give_room():
                    with contextlib.suppress(OSError):
                        self._write()
                        os.fsync(self._descriptor)
                raise

    def close(self) -> None:
        """Close the file; lines that have not been handed over are lost."""
        self._closed.set()
        with self._lock:
            self._give_room()
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    @property
    def _descriptor(self) -> int:
        if self._handle is None:
            raise ValueError(f"{self.path} is not open")
        return self._handle

    def _watch(self) -> None:
        """Sync lines that have waited, while a slow model works on the next ones."""
        while not self._closed.wait(_LOOK_EVERY):
            with self._lock:
                has_waited = time.monotonic() - self._synced > _SYNC_EVERY / 2
                if not (self._num_unsynced and has_waited) or self._handle is None:
                    continue
                try:
                    self._write()
                    os.fsync(self._handle)
                except OSError:
                    # Whoever writes next meets the full disk and says so.
                    continue
                self._synced, self._num_unsynced = time.monotonic(), 0

    def _write(self) -> None:
        while self._waiting:
            del self._waiting[: os.write(self._descriptor, self._waiting)]

    def _give_room(self) -> bool:
        """Remove what kept room; tell whether there was any."""
        if self._room is None or not self._room.exists():
            return False
        self._room.unlink(missing_ok=True)
        return True


def _keep_room(path: Path) -> None:
    """Take space on the disk, but never much of what is left; without such a call take none."""
    size = min(_ROOM, shutil.disk_usage(path.parent).free // _PART_OF_FREE)
    with contextlib.suppress(OSError, AttributeError), path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size)
