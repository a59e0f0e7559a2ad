"""Atomic writes, safe replacement of folders and containment checks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from espnet3.utils.types import PathLike


@contextlib.contextmanager
def atomic_path(path: PathLike, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that replaces it when the block succeeds.

    The temporary file keeps the suffix of ``path``, because some writers choose their format by it.
    On an exception it is removed and the old content of ``path`` stays. A ``private`` file can be
    read by its owner only.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if not private:
            _grant_default_mode(temporary)
        temporary.replace(target)
    except OSError as error:
        if error.filename is None:
            error.add_note(f"while writing {target}")
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_open(path: PathLike, mode: str = "w", *, private: bool = False) -> Iterator[IO[Any]]:
    """Open ``path`` for writing; readers see either the old file or the finished one."""
    encoding = None if "b" in mode else "utf-8"
    with (
        atomic_path(path, private=private) as temporary,
        temporary.open(mode, encoding=encoding) as stream,
    ):
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def write_text(path: PathLike, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_open(path) as stream:
        stream.write(text)


def write_json(path: PathLike, value: Any) -> None:
    """Write JSON atomically: UTF-8, indent 2, non-ASCII kept, newline at the end."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def atomic_directory(path: PathLike) -> Iterator[Path]:
    """Yield an empty sibling folder that replaces ``path`` when the block succeeds.

    The old folder is moved aside before the swap and deleted after it, so ``path`` is never half
    new. Callers decide beforehand whether the old folder may go.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
    building.chmod(0o777 & ~_current_umask())
    retired = building.with_name(building.name.replace(".partial-", ".retired-"))
    try:
        yield building
        if target.exists():
            target.replace(retired)
        building.replace(target)
    except BaseException:
        if retired.exists() and not target.exists():
            retired.replace(target)
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def is_file(path: PathLike) -> bool:
    """Tell whether a text names an existing file; one that is too long for a path does not."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_inside(path: PathLike, root: PathLike) -> bool:
    """Tell whether ``path``, links resolved, lies in ``root`` or is ``root`` itself."""
    return Path(path).resolve().is_relative_to(Path(root).resolve())


def _current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _grant_default_mode(path: Path) -> None:
    """Undo mkstemp's private mode, so that files are as readable as ordinary ones."""
    path.chmod(0o666 & ~_current_umask())
