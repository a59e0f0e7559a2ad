"""Shape files: one line ``<uid> <d0>[,<d1>…]`` per utterance, in the order of the data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from espnet3.errors import DataError
from espnet3.utils.path_utils import atomic_open
from espnet3.utils.types import PathLike, UttId


class ShapeFileError(DataError, RuntimeError):
    """A shape file is malformed, or several do not fit together."""


def read_shape(path: PathLike, *, allow_blank: bool = False) -> dict[UttId, tuple[int, ...]]:
    """Read a shape file, keeping its order.

    Args:
        path: Shape file.
        allow_blank: Accept lines with an id only; their shape is ``()``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ShapeFileError: If an id occurs twice or a line cannot be read; names file and line.
    """
    shapes: dict[UttId, tuple[int, ...]] = {}
    for number, line in enumerate(_read_lines(path), start=1):
        uid, _, value = line.partition(" ")
        if uid in shapes:
            raise ShapeFileError(f"{path}:{number}: utterance {uid!r} is duplicated")
        if value or not allow_blank:
            shapes[uid] = _parse(value, f"{path}:{number}")
        else:
            shapes[uid] = ()
    return shapes


def read_lengths(path: PathLike) -> tuple[list[UttId], np.ndarray]:
    """Read ids and first dimensions of a shape file.

    Returns:
        Ids in file order, and their lengths, int64, shape ``(N,)``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ShapeFileError: If an id occurs twice or a line cannot be read.
    """
    shapes = read_shape(path)
    lengths = np.fromiter((shape[0] for shape in shapes.values()), np.int64, len(shapes))
    return list(shapes), lengths


def write_shape(path: PathLike, shapes: Mapping[UttId, Iterable[int]]) -> None:
    """Write a shape file atomically."""
    with atomic_open(path) as stream:
        for uid, shape in shapes.items():
            stream.write(f"{uid} {','.join(map(str, shape))}\n")


def write_npy(path: PathLike, array: np.ndarray) -> None:
    """Write an array as ``.npy`` atomically."""
    with atomic_open(path, "wb") as stream:
        np.save(stream, array, allow_pickle=False)


def escape_uid(uid: UttId) -> str:
    """Return a file name for an utterance id; it cannot leave its folder.

    Example:
        >>> escape_uid("a/../b")
        'a%2F..%2Fb'
    """
    name = uid.replace("%", "%25").replace("/", "%2F").replace("\\", "%5C")
    return name.replace(".", "%2E") if set(name) <= {"."} else name


def _read_lines(path: PathLike) -> list[str]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"shape file {path} does not exist; run collect_stats first")
    with Path(path).open(encoding="utf-8") as stream:
        return [line.rstrip("\r\n") for line in stream if line.strip()]


def _parse(value: str, place: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, value.split(",")))
    except ValueError as error:
        raise ShapeFileError(f"{place}: {value!r} is not a list of integers") from error
