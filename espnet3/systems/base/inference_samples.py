"""Read samples of a test set before the model asks for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from espnet3.components.inference.sample_loaders import SampleLoaders

_ABSENT: Any = object()


def find_id(dataset: Any, index: int) -> str | None:
    """Return the id that a data set states without reading a sample."""
    names = stated_ids(dataset)
    return names[index] if names else None


def stated_ids(dataset: Any) -> list[str]:
    """Return all ids that a data set, or the one that it wraps, states; none if it does not."""
    for owner in (dataset, getattr(dataset, "dataset", None)):
        with contextlib.suppress(AttributeError, TypeError):
            names = list(owner.keys())  # type: ignore[union-attr]
            if len(names) == len(dataset):
                return [str(name) for name in names]
    return []


class ReadAhead:
    """A data set whose next samples are in memory already.

    Args:
        dataset: Gives a sample per index.
        pinned_keys: Fields whose tensors are put where a GPU can fetch them by itself.
        num_processes: Processes that read; 0 reads here.

    Raises:
        SettingError: If processes are wanted, but the data set cannot be pickled.
    """

    def __init__(
        self, dataset: Any, pinned_keys: Sequence[str] = (), *, num_processes: int = 0
    ) -> None:
        self._dataset = dataset
        self._pinned_keys = pinned_keys
        self._loaders = SampleLoaders(dataset, num_processes) if num_processes else None
        self._errors: dict[int, Exception] = {}
        # Filled in one thread and read in another; each access is one step of the interpreter.
        self._ready: dict[int, Any] = {}
        self._unread: set[int] = set()

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int):
            found = self._ready.get(index, _ABSENT)
            if found is not _ABSENT:
                return found
            if index in self._errors:
                raise self._errors[index]
        return self._dataset[index]

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def load(self, indices: Iterable[int]) -> None:
        """Read samples; the error of one that cannot be read comes when it is used."""
        if self._loaders is not None:
            self._load_elsewhere(self._loaders, indices)
            return
        for index in indices:
            if index in self._ready or index in self._unread:
                continue
            # A suppress block is slower than a data set in memory.
            try:
                sample = self._dataset[index]
            except Exception:
                self._unread.add(index)
                continue
            self._ready[index] = self._pinned(sample) if self._pinned_keys else sample

    def peek(self, indices: Iterable[int]) -> list[Mapping[str, Any]]:
        """Return those samples that were read and are mappings."""
        found = [self._ready.get(index) for index in indices]
        return [sample for sample in found if isinstance(sample, Mapping)]

    def unread(self, indices: Iterable[int]) -> list[int]:
        """Return those samples that could not be read."""
        return [index for index in indices if index in self._unread] if self._unread else []

    def forget(self, indices: Iterable[int]) -> None:
        """Free the memory of samples."""
        for index in indices:
            self._ready.pop(index, None)
            self._unread.discard(index)
            self._errors.pop(index, None)

    def close(self) -> None:
        """End the processes that read."""
        if self._loaders is not None:
            self._loaders.close()

    def name(self, index: int, key: str) -> str | None:
        """Return the id of a sample, if it can be read and has one."""
        with contextlib.suppress(Exception):
            return str(self[index][key])
        return None

    def _load_elsewhere(self, loaders: SampleLoaders, indices: Iterable[int]) -> None:
        wanted = [i for i in indices if i not in self._ready and i not in self._unread]
        for index, (sample, error) in zip(wanted, loaders.read(wanted), strict=True):
            if error is None:
                self._ready[index] = self._pinned(sample) if self._pinned_keys else sample
            else:
                self._errors[index] = error
                self._unread.add(index)

    def _pinned(self, sample: Any) -> Any:
        """Copy tensors to page-locked memory, from which a copy to the GPU need not wait."""
        if not isinstance(sample, Mapping):
            return sample
        inputs = {key: sample[key] for key in self._pinned_keys if key in sample}
        tensors = {k: v for k, v in inputs.items() if hasattr(v, "pin_memory")}
        return {**sample, **{k: v.pin_memory() for k, v in tensors.items()}} if tensors else sample
