"""Data sets that are stored in shards, and the choice of one shard per rank and epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from espnet3.errors import SettingError

_COUNT = "num_shards (total_shards)"
_WORLD = "world_shard_size (dist_world_size)"
_ALIASES = {"num_shards": "total_shards", "world_shard_size": "dist_world_size"}


class ShardingError(SettingError, RuntimeError):
    """Shards and ranks do not fit together."""


class ShardedDataset(torch.utils.data.Dataset[Any]):
    """Base of data sets that can hand out one shard of themselves.

    A subclass sets two attributes and implements :meth:`shard`.

    Attributes:
        num_shards: Number of shards, at least 1. ``total_shards`` is accepted too.
        world_shard_size: World size that the shards were made for, at least 1.
            ``dist_world_size`` is accepted too.
    """

    num_shards: int | None = None
    world_shard_size: int | None = None

    def shard(self, idx: int) -> Any:
        """Return a data set that holds only shard ``idx``.

        Raises:
            NotImplementedError: Always; subclasses implement this method.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement shard(idx) and return the data set of one shard"
        )


def shard_attributes(datasets: Sequence[Any]) -> tuple[int | None, int | None]:
    """Return the shard count and world size that ``datasets`` share, ``(None, None)`` if unsharded.

    Raises:
        ShardingError: If only some are sharded, an attribute is unset, or values differ.
    """
    sharded = [isinstance(dataset, ShardedDataset) for dataset in datasets]
    if not any(sharded):
        return None, None
    if not all(sharded):
        raise ShardingError(
            "If any dataset is a subclass of ShardedDataset, all of them must be",
            key="dataset",
            hint="datasets without shards: " + _names(datasets, [not is_it for is_it in sharded]),
        )
    values = [
        (read_shard_attribute(d, "num_shards"), read_shard_attribute(d, "world_shard_size"))
        for d in datasets
    ]
    unset = [None in pair for pair in values]
    if any(unset):
        raise ShardingError(
            "ShardedDataset requires num_shards and world_shard_size to be set"
            " (also spelt total_shards and dist_world_size)",
            key="dataset",
            hint="datasets that lack one: " + _names(datasets, unset),
        )
    if len(set(values)) > 1:
        raise ShardingError(
            "datasets must share the same num_shards and world_shard_size"
            " (also spelt total_shards and dist_world_size)",
            key="dataset",
            value=values,
        )
    return values[0]


def select_shard(dataset: Any, *, epoch: int, rank: int, world_size: int) -> Any:
    """Return the part of ``dataset`` that a rank reads in an epoch.

    Rank ``r`` reads shard ``(epoch * world_size + r) % num_shards``. A data set without
    ``num_shards`` is returned as it is.

    Raises:
        ShardingError: If there is no ``shard`` method, the world size is not the one that the
            shards were made for, or the shards cannot be dealt evenly.
    """
    members = getattr(dataset, "datasets", None)
    first = members[0] if members else dataset
    count = read_shard_attribute(first, "num_shards")
    if count is None:
        return dataset
    if not callable(getattr(first, "shard", None)) or not callable(getattr(dataset, "shard", None)):
        raise ShardingError(
            f"{type(first).__name__} sets {_COUNT}, but shard() is not implemented", key="dataset"
        )
    made_for = read_shard_attribute(first, "world_shard_size")
    if not _is_positive(made_for):
        raise ShardingError("must be an integer of at least 1", key=_WORLD, value=made_for)
    if made_for != world_size:
        raise ShardingError(
            f"world_shard_size must match (dist_world_size must match) the world size {world_size}",
            key=_WORLD,
            value=made_for,
            hint=f"shard the data again for {world_size} ranks, or train on {made_for}",
        )
    if not _is_positive(count):
        raise ShardingError("must be an integer of at least 1", key=_COUNT, value=count)
    if count % world_size:
        raise ShardingError(
            "num_shards must be divisible by world_size"
            f" (total_shards must be divisible by {world_size})",
            key=_COUNT,
            value=count,
        )
    return dataset.shard((epoch * world_size + rank) % count)


def read_shard_attribute(dataset: Any, name: str) -> Any:
    """Read a shard attribute under either of its two names.

    Raises:
        ShardingError: If both are set and differ.
    """
    value, alias = getattr(dataset, name, None), getattr(dataset, _ALIASES[name], None)
    if value is not None and alias is not None and value != alias:
        raise ShardingError(
            f"{type(dataset).__name__}.{name} = {value!r} and .{_ALIASES[name]} = {alias!r} differ",
            key=f"{name} ({_ALIASES[name]})",
        )
    return alias if value is None else value


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _names(datasets: Sequence[Any], chosen: Sequence[bool]) -> str:
    return ", ".join(
        f"#{number} {type(dataset).__name__}"
        for number, (dataset, is_chosen) in enumerate(zip(datasets, chosen, strict=True))
        if is_chosen
    )
