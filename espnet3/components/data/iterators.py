"""Iterator factories: one iterator over given batches per epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from espnet3.errors import SettingError


class SequenceIterFactory:
    """Read given batches, in an order that depends on the seed and the epoch only.

    Args:
        dataset: Data set that is addressed by the keys in the batches.
        batches: Batches of keys, or an object with ``generate(seed)``.
        num_iters_per_epoch: Batches per epoch; epochs then walk through an endless sequence of
            passes without leaving anything out. ``None``: one pass per epoch.
        seed: Seed of the order.
        shuffle: Draw a new order of batches for each pass.
        shuffle_within_batch: Deal all utterances anew, into batches of the size of the first.
        num_workers: Processes that read.
        collate_fn: Makes a batch of items.
        pin_memory: Put batches into page-locked memory.
        **options: Further options of ``torch.utils.data.DataLoader``.
    """

    def __init__(
        self,
        dataset: Any,
        batches: Any,
        num_iters_per_epoch: int | None = None,
        seed: int = 0,
        shuffle: bool = False,
        shuffle_within_batch: bool = False,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        **options: Any,
    ) -> None:
        if num_iters_per_epoch is not None and num_iters_per_epoch < 1:
            raise SettingError(
                "must be at least 1",
                key="iter_factory.num_iters_per_epoch",
                value=num_iters_per_epoch,
            )
        self.dataset = dataset
        self.batches = batches
        self.num_iters_per_epoch = num_iters_per_epoch
        self.seed = seed
        self.shuffle = shuffle
        self.shuffle_within_batch = shuffle_within_batch
        self.collate_fn = collate_fn
        self.options = {"num_workers": num_workers, "pin_memory": pin_memory, **options}

    def __repr__(self) -> str:
        return (
            f"SequenceIterFactory(batches={self.batches!r}, shuffle={self.shuffle},"
            f" seed={self.seed})"
        )

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> DataLoader[Any]:
        """Return the loader of an epoch; ``shuffle=None`` keeps the setting of the factory."""
        is_shuffled = self.shuffle if shuffle is None else shuffle
        return DataLoader(
            self.dataset,
            batch_sampler=self._batches_of_epoch(epoch, is_shuffled),
            collate_fn=self.collate_fn,
            **self.options,
        )

    def _batches_of_epoch(self, epoch: int, shuffle: bool) -> list[list[Any]]:
        count = self.num_iters_per_epoch
        if count is None:
            return self._pass(epoch, shuffle)
        chosen: list[list[Any]] = []
        size = len(self._pass(0, False))
        position = epoch * count
        while len(chosen) < count:
            number, offset = divmod(position, size)
            part = self._pass(number, shuffle)[offset : offset + count - len(chosen)]
            chosen += part
            position += len(part)
        return chosen

    def _pass(self, number: int, shuffle: bool) -> list[list[Any]]:
        """Return one pass over all batches."""
        if hasattr(self.batches, "generate"):
            source: Iterable[Sequence[Any]] = self.batches.generate(self.seed + number)
        else:
            source = self.batches
        batches = [list(batch) for batch in source]
        # The legacy generator's stream is frozen by NumPy's compatibility policy.
        rng = np.random.RandomState((self.seed + number) % 2**32)
        if self.shuffle_within_batch and shuffle:
            size = len(batches[0])
            keys = [key for batch in batches for key in batch]
            keys = [keys[i] for i in rng.permutation(len(keys))]
            batches = [keys[i : i + size] for i in range(0, len(keys), size)]
        if shuffle:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        return batches
