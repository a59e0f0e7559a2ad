"""What the collate function hands to the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from espnet3.errors import DataError


class BatchTypeError(DataError, TypeError):
    """A batch has neither of the two accepted forms."""


def read_batch(batch: Any) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Split a batch into utterance ids and the keyword arguments of the model.

    Args:
        batch: ``(uids, mapping)``, or a bare mapping, which has no ids.

    Raises:
        BatchTypeError: If it is anything else.
    """
    if isinstance(batch, Mapping):
        return (), batch
    if isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[1], Mapping):
        return tuple(batch[0]), batch[1]
    inner = f" of {len(batch)} items" if isinstance(batch, tuple | list) else ""
    raise BatchTypeError(
        f"a batch must be (uids, dict of tensors) or a dict, it is a {type(batch).__name__}{inner}"
        "\n  check the return value of dataloader.collate_fn"
    )
