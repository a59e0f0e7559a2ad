"""The batches that an iterator factory reads, and the part of them that a rank has."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from espnet3.components.data.samplers import build_batch_sampler
from espnet3.errors import ConfigError, MissingConfigError
from espnet3.utils.config_utils import instantiate_config

logger = logging.getLogger(__name__)

_logged: set[str] = set()


def build_batches(node: Any, key: str) -> Any:
    """Build the ``batches`` of an iterator factory, by default with ``build_batch_sampler``.

    Args:
        node: Its configuration, or batches as they are.
        key: Key of the factory.

    Raises:
        MissingConfigError: If there are none.
        ConfigError: If an argument is wrong.
    """
    if node is None:
        raise MissingConfigError("an iterator factory needs batches", key=f"{key}.batches")
    if not isinstance(node, Mapping):
        return node
    options = dict(node)
    target = options.pop("_target_", None)
    if target is None or str(target).endswith(".samplers.build_batch_sampler"):
        try:
            return build_batch_sampler(**options)
        except TypeError as error:
            raise ConfigError(str(error), key=f"{key}.batches") from error
    return instantiate_config(node, key=f"{key}.batches")


def deal_batches(batches: Any, world_size: int, rank: int, mode: str) -> Any:
    """Return the batches of a rank; all ranks have equally many, and a remainder is left out.

    Args:
        batches: Batches of all ranks.
        world_size: Number of ranks.
        rank: The rank.
        mode: ``train`` or ``valid``, for the log.
    """
    if world_size == 1:
        return batches
    dealt: Sequence[Any] = list(batches)
    kept = len(dealt) - len(dealt) % world_size
    if kept < len(dealt):
        logger.warning(
            "dataloader %s: dropped %d of %d batches, kept %d, so that %d ranks have equally many",
            mode,
            len(dealt) - kept,
            len(dealt),
            kept,
            world_size,
        )
    if mode not in _logged:
        _logged.add(mode)
        logger.info(
            "dataloader %s: world_size=%d rank=%d batches=%d per_rank=%d",
            mode,
            world_size,
            rank,
            kept,
            kept // world_size,
        )
    return dealt[rank:kept:world_size]
