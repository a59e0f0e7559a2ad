"""The beginning of a data set, to try things out."""

from __future__ import annotations

from typing import Any

from espnet3.errors import SettingError


class FirstSamples:
    """The first samples of a data set; everything else is as the data set has it.

    Args:
        dataset: Data set with ``__len__`` and ``__getitem__``.
        count: Number of samples, if there are as many.

    Raises:
        SettingError: If ``count`` is below 1.

    Example:
        >>> len(FirstSamples(["a", "b", "c"], 2))
        2
    """

    def __init__(self, dataset: Any, count: int) -> None:
        if count < 1:
            raise SettingError("must be at least 1", key="dataset.max_utterances", value=count)
        self.dataset = dataset
        self.count = count

    def __len__(self) -> int:
        return min(self.count, len(self.dataset))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        return self.dataset[index + len(self) if isinstance(index, int) and index < 0 else index]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("dataset", "count"):
            raise AttributeError(name)
        value = getattr(self.dataset, name)
        if name == "keys":
            return lambda: list(value())[: self.count]
        if name == "shard":
            return lambda idx: FirstSamples(value(idx), self.count)
        return value
