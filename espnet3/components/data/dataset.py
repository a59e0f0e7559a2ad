"""Wrappers that join data sets and apply their transforms and the preprocessor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch

from espnet3.components.data.collate import arrays_of
from espnet3.components.data.dataset_module import CarriesLocalModules
from espnet3.components.data.dataset_with_transform import DatasetWithTransform
from espnet3.components.data.sample_index import Place, SampleIndex, was_read
from espnet3.components.data.sample_steps import (
    Step,
    callable_name,
    describe_dataset,
    do_nothing,
    or_nothing,
    uid_of,
)
from espnet3.components.data.sharding import ShardedDataset, ShardingError, shard_attributes
from espnet3.errors import DataError, SettingError

__all__ = [
    "CombinedDataset",
    "DatasetWithTransform",
    "SampleError",
    "ShardedDataset",
    "callable_name",
    "describe_dataset",
    "do_nothing",
]

_MISSES = (KeyError, TypeError, ValueError, IndexError)


class SampleError(DataError, RuntimeError):
    """A sample cannot be read."""


class CombinedDataset(CarriesLocalModules, torch.utils.data.Dataset[Any]):
    """Several data sets, one after the other, each with its transform and the preprocessor.

    An item is reached by its global position (also negative, also as a decimal string) or by its
    utterance id. It is the processed sample, or ``(uid, sample)`` while ``use_espnet_collator`` is
    true.

    Args:
        datasets: Data sets with ``__len__`` and ``__getitem__``.
        transforms: One ``(transform, preprocessor)`` pair per data set; ``None`` is the identity.
            A callable with a parameter ``rng`` receives a ``numpy.random.Generator``.
        use_espnet_preprocessor: Call ``preprocessor(uid, sample)`` instead of
            ``preprocessor(sample)``.
        uid_key: Key of the raw sample that holds its id; ``None`` uses the position, or the data
            set's own key where it is addressed by strings.
        validate: Read the first sample of each data set and compare the keys of the samples.

    Raises:
        SettingError: If a transform is not callable, or samples have different keys.
        ShardingError: If sharded and other data sets are mixed, or shards differ.
        DataError: If two data sets share an utterance id.
    """

    def __init__(
        self,
        datasets: Sequence[Any],
        transforms: Sequence[tuple[Callable[..., Any] | None, Callable[..., Any] | None]],
        use_espnet_preprocessor: bool = False,
        *,
        uid_key: str | None = None,
        validate: bool = True,
    ) -> None:
        self.datasets = list(datasets)
        self.transforms = [(or_nothing(t), or_nothing(p)) for t, p in transforms]
        self.use_espnet_preprocessor = use_espnet_preprocessor
        self.uid_key = uid_key
        self._use_espnet_collator = False
        self.gives_arrays_only = False
        self._steps = [
            (Step(t, "transform", False), Step(p, "preprocessor", use_espnet_preprocessor))
            for t, p in transforms
        ]
        if len(self._steps) != len(self.datasets):
            raise SettingError(
                f"needs one pair per dataset: {len(self._steps)} pairs,"
                f" {len(self.datasets)} datasets",
                key="transforms",
            )
        self.num_shards, self.world_shard_size = shard_attributes(self.datasets)
        self._index = SampleIndex(self.datasets, uid_key=uid_key, validate=validate)
        self.lengths = self._index.lengths
        self.cumulative_lengths = self._index.ends
        if validate:
            self._check_sample_keys()
        self._index.first_samples.clear()

    @property
    def use_espnet_collator(self) -> bool:
        """Whether items are ``(uid, sample)`` pairs."""
        return self._use_espnet_collator

    @use_espnet_collator.setter
    def use_espnet_collator(self, value: bool) -> None:
        self._use_espnet_collator = bool(value)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: Any) -> Any:
        return self.read(index)

    def read(self, index: Any, rng_key: tuple[int, int] | None = None) -> Any:
        """Return an item whose randomness is a function of ``rng_key`` and its id.

        Args:
            index: Position or utterance id.
            rng_key: ``(seed, epoch)``; ``None`` draws from torch's global generator.

        Raises:
            IndexError: If a position is out of range.
            DataError: If no data set knows an utterance id, or a sample cannot be read.
        """
        place = self._index.find(index)
        if place is None:
            place, raw = self._search(index)
        else:
            raw = self._read_raw(place)
        uid = place.uid if self.uid_key is None else uid_of(raw, self.uid_key, place)
        sample = raw
        for step in self._steps[place.member]:
            try:
                sample = step(uid, sample, rng_key)
            except Exception as error:
                error.add_note(f"in the {step.name} of utterance {uid!r}, {self._name(place)}")
                raise
        if self._use_espnet_collator:
            return uid, arrays_of(sample) if self.gives_arrays_only else sample
        return sample

    def uid(self, index: int) -> str:
        """Return the id of a position; reads the sample only if nothing lists the ids."""
        place = self._index.find(index)
        if place is None:
            raise DataError(f"Utterance ID '{index}' not found in any dataset")
        if self.uid_key is None:
            return place.uid
        listed = self._index.listed_uid(place)
        return uid_of(self._read_raw(place), self.uid_key, place) if listed is None else listed

    def shard(self, idx: int) -> CombinedDataset:
        """Return shard ``idx`` of every data set, with the same transforms and flags.

        Raises:
            ShardingError: If a data set has no shards.
        """
        if not all(callable(getattr(dataset, "shard", None)) for dataset in self.datasets):
            raise ShardingError("a dataset without shard() cannot be sharded", key="dataset")
        part = CombinedDataset(
            [dataset.shard(idx) for dataset in self.datasets],
            self.transforms,
            self.use_espnet_preprocessor,
            uid_key=self.uid_key,
        )
        part.num_shards, part.world_shard_size = self.num_shards, self.world_shard_size
        part.use_espnet_collator = self.use_espnet_collator
        part.gives_arrays_only = self.gives_arrays_only
        return part

    def get_text(self, index: Any) -> str:
        """Return the transcript of an item without reading its audio.

        Raises:
            RuntimeError: If the data set has no ``get_text``.
        """
        return str(self._ask(index, "get_text", "str", "transcripts"))

    def get_length(self, index: Any) -> int:
        """Return the number of samples of an item's speech without decoding its audio.

        Raises:
            RuntimeError: If the data set has no ``get_length``.
        """
        return int(self._ask(index, "get_length", "int", "lengths"))

    def content_id(self) -> list[Any]:
        """Return plain values that change when the content of a data set does.

        A data set may have a ``content_id()`` of its own; otherwise class, length and keys count.
        """
        known = zip(self.datasets, self.lengths, self._index.keys, strict=True)
        return [
            dataset.content_id()
            if callable(getattr(dataset, "content_id", None))
            else [type(dataset).__qualname__, length, keys]
            for dataset, length, keys in known
        ]

    def __repr__(self) -> str:
        parts = ", ".join(self.describe())
        return (
            f"CombinedDataset(len={len(self)}, use_espnet_preprocessor="
            f"{self.use_espnet_preprocessor}, use_espnet_collator={self.use_espnet_collator},"
            f" datasets=[{parts}])"
        )

    def describe(self) -> list[str]:
        """Return one line per data set: class, length, transform and preprocessor."""
        return [
            describe_dataset(dataset, length, *pair)
            for dataset, length, pair in zip(
                self.datasets, self.lengths, self.transforms, strict=True
            )
        ]

    def _ask(self, index: Any, method: str, returns: str, what: str) -> Any:
        """Call a method of the data set that holds an item."""
        place = self._index.find(index)
        if place is None:
            raise DataError(f"Utterance ID '{index}' not found in any dataset")
        dataset = self.datasets[place.member]
        if not callable(getattr(dataset, method, None)):
            raise RuntimeError(
                f"{type(dataset).__name__} has no {method}; implement {method}(index) -> {returns}"
                f" in it so that {what} can be read without audio"
            )
        return getattr(dataset, method)(place.local)

    def _read_raw(self, place: Place) -> Any:
        try:
            return self.datasets[place.member][place.local]
        except Exception as error:
            raise SampleError(
                f"cannot read {self._name(place)}: {type(error).__name__}: {error}"
            ) from error

    def _search(self, uid: str) -> tuple[Place, Any]:
        """Offer an unknown id to every data set that has not listed its keys."""
        for member in self._index.integer_members():
            try:
                return Place(member, uid, uid), self.datasets[member][uid]
            except _MISSES:
                continue
        hint = ""
        if self.uid_key is not None:
            hint = f"; to address samples by {self.uid_key}, give the dataset a keys() method"
        raise DataError(f"Utterance ID '{uid}' not found in any dataset{hint}")

    def _name(self, place: Place) -> str:
        dataset = type(self.datasets[place.member]).__name__
        return f"index {place.local!r} of dataset {place.member} ({dataset})"

    def _check_sample_keys(self) -> None:
        expected: tuple[int, set[Any]] | None = None
        for number, raw in enumerate(self._index.first_samples):
            if not was_read(raw):
                continue
            step = self._steps[number][0]
            keys = set(step("", deepcopy(raw), (0, 0)).keys())
            if expected is None:
                expected = (number, keys)
            elif keys != expected[1]:
                raise SettingError(
                    f"samples of dataset {number} have the keys {sorted(keys)}, those of dataset"
                    f" {expected[0]} have {sorted(expected[1])}",
                    key="dataset",
                    hint="give one of the entries a `transform` that makes them equal",
                )
