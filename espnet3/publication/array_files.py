"""What a file of arrays really holds, from its headers alone."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet3.errors import UnsafeCheckpointError

_ARCHIVES = frozenset({".bin", ".ckpt", ".npz", ".pt", ".pth"})
_MOST_BYTES_PER_BYTE = 1000
_SMALL = 64 * 2**20
"""Bytes that may be unpacked whatever the ratio is."""


def holds_objects(path: Path) -> bool:
    """Tell whether a NumPy file holds pickled objects, or is none."""
    try:
        return any(is_pickled for is_pickled, _, _ in _headers(path))
    except (ValueError, zipfile.BadZipFile):
        # Not a NumPy file at all; numpy.load would fall back to pickle.
        return True


def check_honest(path: Path) -> None:
    """Refuse a file that would take more memory than it is large.

    Raises:
        UnsafeCheckpointError: If a NumPy header promises more than follows, or members of a zip
            archive expand beyond reason.
    """
    if path.suffix in _ARCHIVES and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max(_SMALL, _MOST_BYTES_PER_BYTE * path.stat().st_size):
            raise _refusal(path, f"expands to {unpacked} bytes")
    try:
        sizes = [(promised, present) for _, promised, present in _headers(path)]
    except (ValueError, zipfile.BadZipFile):
        # Whether it is a NumPy file at all is what holds_objects tells.
        return
    for promised, present in sizes:
        if promised > present:
            raise _refusal(path, f"promises an array of {promised} bytes and has {present}")


def _refusal(path: Path, reason: str) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        f"{path} {reason}, which would exhaust the memory\n  do not use this bundle"
    )


def _headers(path: Path) -> Iterator[tuple[bool, int, int]]:
    """Yield for each array whether it holds objects, its size in bytes, and what there is."""
    if path.suffix == ".npy":
        with path.open("rb") as stream:
            yield _read_header(stream, path.stat().st_size)
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    with archive.open(member) as stream:
                        yield _read_header(stream, member.file_size)


def _read_header(stream: Any, size: int) -> tuple[bool, int, int]:
    import numpy as np

    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(stream)
    return bool(dtype.hasobject), math.prod(shape) * dtype.itemsize, size - stream.tell()
