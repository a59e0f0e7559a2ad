"""Which file a log goes to: files of earlier runs step aside, those of running ones are left."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shutil
from pathlib import Path

from espnet3.utils.stage_report import report_paths


def open_log_file(path: Path, kind: type[logging.FileHandler]) -> logging.FileHandler:
    """Open a new log file, with its folder.

    A file of an earlier run is rotated. If a running process still writes to it, that one keeps its
    name, and the new file gets the number.

    Args:
        path: File.
        kind: Class of the handler.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_in_use(path):
        path = _first_free(path)
    else:
        rotate(path)
    handler = kind(path, encoding="utf-8")
    # Unlike a lock of flock this one is not inherited by data loader workers, which may outlive
    # the run. A file system without locks costs no more than the protection.
    with contextlib.suppress(OSError):
        if handler.stream is not None:
            fcntl.lockf(handler.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handler


def rotate(path: Path) -> None:
    """Rename a log of an earlier run, and the reports beside it, to the first free number.

    ``train.log`` becomes ``train1.log``, then ``train2.log``, …: higher numbers are newer.
    """
    if not path.exists():
        return
    place = _first_free(path)
    for old in (path, *report_paths(path)):
        if old.exists():
            new = old.with_name(f"{place.stem}{old.name.removeprefix(path.stem)}")
            if new.is_dir():  # of a log that somebody has deleted; a folder is not written over
                shutil.rmtree(new)
            old.replace(new)


def _first_free(path: Path) -> Path:
    number = 1
    while path.with_name(f"{path.stem}{number}{path.suffix}").exists():
        number += 1
    return path.with_name(f"{path.stem}{number}{path.suffix}")


def _is_in_use(path: Path) -> bool:
    """Tell whether another process has a log open."""
    try:
        with path.open("r+") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return path.exists()
    except OSError:  # there is no such file, or no locks
        return False
    return False
