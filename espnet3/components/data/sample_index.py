"""How samples are addressed: global positions and utterance ids over several data sets."""

from __future__ import annotations

import functools
import operator
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from espnet3.errors import DataError

_UNREAD: Any = object()


class Place(NamedTuple):
    """Where a sample lives."""

    member: int
    """Number of the data set."""
    local: int | str
    """Index or key inside that data set."""
    uid: str
    """Id under which the sample is known outside."""


class SampleIndex:
    """Find samples of concatenated data sets by global position or by id.

    A data set that refuses integers is *string-keyed*: its ordered keys stand in for positions.

    Args:
        datasets: Data sets with ``__len__`` and ``__getitem__``.
        uid_key: Sample key whose value is the id of every sample; ``None`` uses the position, or
            the data set's own key where it is string-keyed.
        validate: Read the first sample of every data set to learn how it is addressed.

    Raises:
        DataError: If two string-keyed data sets share an id.
        TypeError: If a data set can be addressed in neither way.
    """

    def __init__(self, datasets: Sequence[Any], *, uid_key: str | None, validate: bool) -> None:
        self.datasets = datasets
        self.uid_key = uid_key
        self.lengths = [len(dataset) for dataset in datasets]
        self.ends = list(accumulate(self.lengths))
        self.first_samples: list[Any] = []
        """First sample of each non-empty data set where it was read, else ``UNREAD``."""
        self.keys: list[list[str] | None] = []
        for number, dataset in enumerate(datasets):
            keys, sample = _probe(dataset, number, validate) if len(dataset) else (None, _UNREAD)
            self.keys.append(keys)
            self.first_samples.append(sample)
        self._key_table = _build_table(self.keys, self.ends)

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @functools.cached_property
    def _uid_table(self) -> dict[str, int]:
        """Position of every id; made on first use from the data sets that list their keys."""
        if self.uid_key is None:
            return self._key_table
        listed = [_list_keys(d) if hasattr(d, "keys") else k for d, k in self._members()]
        return _build_table(listed, self.ends)

    def find(self, index: Any) -> Place | None:
        """Return the place of a position or id; ``None`` for an id that no table knows.

        Raises:
            IndexError: If the position is out of range.
            TypeError: If ``index`` is neither an integer nor a string.
        """
        if isinstance(index, str):
            position = self._uid_table.get(index)
            if position is not None:
                return self._at(position)._replace(uid=index)
            if self.uid_key is None and index.removeprefix("-").isdecimal():
                return self._at(int(index))._replace(uid=index)
            return None
        try:
            position = operator.index(index)
        except TypeError:
            raise TypeError(
                f"a sample is addressed by an integer or a string, not {type(index).__name__}"
            ) from None
        return self._at(position)

    def integer_members(self) -> list[int]:
        """Return the numbers of the data sets that accept integers."""
        return [number for number, keys in enumerate(self.keys) if keys is None]

    def listed_uid(self, place: Place) -> str | None:
        """Return the id of a place without reading the sample, if the data set lists its keys."""
        keys = self.keys[place.member]
        if keys is not None:
            return str(place.local)
        dataset = self.datasets[place.member]
        if not hasattr(dataset, "keys"):
            return None
        listed = dataset.keys()
        if not isinstance(listed, Sequence) or isinstance(place.local, str):
            return None
        return str(listed[place.local])

    def _at(self, position: int) -> Place:
        size = len(self)
        wanted = position + size if position < 0 else position
        if not 0 <= wanted < size:
            raise IndexError(f"index {position} is out of range for {size} samples")
        member = bisect_right(self.ends, wanted)
        local = wanted - (self.ends[member] - self.lengths[member])
        keys = self.keys[member]
        if keys is None:
            return Place(member, local, str(wanted))
        return Place(member, keys[local], keys[local])

    def _members(self) -> list[tuple[Any, list[str] | None]]:
        return list(zip(self.datasets, self.keys, strict=True))


def was_read(sample: Any) -> bool:
    """Tell a sample from the marker of one that was not read."""
    return sample is not _UNREAD


def _probe(dataset: Any, number: int, validate: bool) -> tuple[list[str] | None, Any]:
    """Return the keys (``None`` if integers work) and the first sample, read at most once."""
    if not validate and not hasattr(dataset, "keys"):
        return None, _UNREAD
    try:
        return None, dataset[0]
    except (TypeError, KeyError, ValueError) as error:
        keys = _keys_instead_of_integers(dataset, number, error)
        try:
            return keys, dataset[keys[0]]
        except (TypeError, KeyError, ValueError):
            # Integers were fine; it is the sample itself that cannot be read.
            raise _noted(error, dataset, number) from None
    except Exception as error:
        raise _noted(error, dataset, number)  # noqa: B904 - the same exception


def _keys_instead_of_integers(dataset: Any, number: int, error: Exception) -> list[str]:
    name = f"dataset {number} ({type(dataset).__name__})"
    has_keys = hasattr(dataset, "keys")
    if not has_keys and not hasattr(type(dataset), "__iter__"):
        if isinstance(error, TypeError):
            raise TypeError(f"{name} accepts neither an integer nor iteration: {error}") from error
        raise _noted(error, dataset, number)
    first = next(iter(dataset.keys() if has_keys else dataset), None)
    if not has_keys and not isinstance(first, str) and not isinstance(error, TypeError):
        raise _noted(error, dataset, number)
    return _list_keys(dataset, name)


def _noted(error: Exception, dataset: Any, number: int) -> Exception:
    error.add_note(f"while reading index 0 of dataset {number} ({type(dataset).__name__})")
    return error


def _list_keys(dataset: Any, name: str = "dataset") -> list[str]:
    keys = list(dataset.keys() if hasattr(dataset, "keys") else dataset)
    wrong = next((key for key in keys if not isinstance(key, str)), None)
    if wrong is not None:
        raise TypeError(f"{name} refuses integers, so string keys are required, got {wrong!r}")
    return keys


def _build_table(keys: Sequence[list[str] | None], ends: Sequence[int]) -> dict[str, int]:
    table: dict[str, int] = {}
    for member, names in enumerate(keys):
        if names is None:
            continue
        start = ends[member] - len(names)
        for offset, name in enumerate(names):
            if name in table:
                raise DataError(f"Duplicate utterance ID '{name}' (in dataset {member})")
            table[name] = start + offset
    return table
