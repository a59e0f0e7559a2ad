"""Fingerprints of configurations and files, to tell whether work is up to date."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from espnet3.utils.instantiate import to_plain
from espnet3.utils.types import PathLike


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, as 64 hexadecimal digits.

    The order of keys in mappings does not matter, that of items in sequences does. Lists and tuples
    are the same, a path is its POSIX text, and a set is its sorted items. ``1``, ``1.0`` and
    ``true`` differ.

    Args:
        value: Nested mappings, sequences, strings, numbers, booleans, paths and ``None``; OmegaConf
            nodes are resolved.

    Raises:
        TypeError: If it holds anything else.

    Example:
        >>> fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": (2,), "a": 1})
        True
    """
    import hashlib  # loads OpenSSL, which a plan without earlier outputs can do without

    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """Return the JSON text behind :func:`fingerprint`.

    Raises:
        TypeError: If the value holds something that is not plain.
    """
    return json.dumps(
        _plain(to_plain(value)), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )


def fingerprint_file(path: PathLike) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits.

    A file of unchanged size, inode and modification time is read once per process.

    Raises:
        OSError: If the file cannot be read.
    """
    # Texts, because hundreds of path objects take longer than all files.
    status = os.stat(path)  # noqa: PTH116
    stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
    return _digest(os.path.abspath(path), stamp)  # noqa: PTH100


@functools.lru_cache(maxsize=4096)
def _digest(path: str, stamp: tuple[int, int, int]) -> str:
    import hashlib

    with open(path, "rb") as stream:  # noqa: PTH123
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {_key(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(child) for child in value), key=json.dumps)
    raise TypeError(
        f"a {type(value).__module__}.{type(value).__qualname__} has no fingerprint; pass plain "
        "containers, text, numbers and paths"
    )


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, PurePath):
        return key.as_posix()
    if isinstance(key, bool | int | float):
        return json.dumps(key)
    raise TypeError(f"a {type(key).__qualname__} cannot be a key in a fingerprint")
