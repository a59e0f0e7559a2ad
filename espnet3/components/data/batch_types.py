"""The ways in which ``build_batch_sampler`` groups utterances; the batches are those of ESPnet2."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from espnet3.components.data.fileio import ShapeFileError
from espnet3.utils.types import UttId

Shapes: TypeAlias = list[dict[UttId, tuple[int, ...]]]
"""Shape of each utterance, for each shape file."""


def _unsorted(shapes: Shapes, *, size: int, drop_last: bool, **_: Any) -> list[list[UttId]]:
    return _split_evenly(list(shapes[0]), size, drop_last)


def _sorted(
    shapes: Shapes, *, size: int, drop_last: bool, is_descending: bool, **_: Any
) -> list[list[UttId]]:
    """Cut in the order inside of batches, as ESPnet2 does: it decides which ones are larger."""
    return _split_evenly(_by_length(shapes, is_descending=is_descending), size, drop_last)


def _folded(
    shapes: Shapes,
    *,
    size: int,
    min_batch_size: int,
    fold_lengths: Sequence[int],
    categories: dict[UttId, str],
    drop_last: bool,
    **_: Any,
) -> list[list[UttId]]:
    groups: dict[str, list[UttId]] = {}
    for uid in _by_length(shapes):
        groups.setdefault(categories.get(uid, ""), []).append(uid)
    batches: list[list[UttId]] = []
    for uids in groups.values():
        own: list[list[UttId]] = []
        start = 0
        while start < len(uids):
            folds = max(
                shape[uids[start]][0] // fold
                for shape, fold in zip(shapes, fold_lengths, strict=True)
            )
            count = max(min_batch_size, size // (1 + folds))
            own.append(uids[start : start + count])
            start += count
        batches += _treat_last(own, min_batch_size, drop_last, num_spared=1)
    return batches


def _length(shapes: Shapes, **options: Any) -> list[list[UttId]]:
    return _fill(shapes, [1] * len(shapes), **options)


def _numel(shapes: Shapes, *, padding: bool, **options: Any) -> list[list[UttId]]:
    dims = [{shape[1:] for shape in table.values()} for table in shapes]
    if padding and any(len(kinds) > 1 for kinds in dims):
        raise ShapeFileError("type numel with padding needs equal feature dimensions everywhere")
    widths = [math.prod(next(iter(kinds))) for kinds in dims]
    return _fill(shapes, widths, padding=padding, **options)


def _fill(
    shapes: Shapes,
    widths: Sequence[int],
    *,
    size: int,
    min_batch_size: int,
    padding: bool,
    drop_last: bool,
    is_hard: bool,
    **_: Any,
) -> list[list[UttId]]:
    batches: list[list[UttId]] = []
    batch: list[UttId] = []
    longest = [0] * len(shapes)
    total = 0
    for uid in _by_length(shapes):
        own = [table[uid][0] for table in shapes]
        padded = [max(a, b) for a, b in zip(longest, own, strict=True)]
        exact = total + sum(n * w for n, w in zip(own, widths, strict=True))
        # ESPnet2 takes the newest utterance for the longest one, which is true of the first file.
        counted = padded if is_hard else own
        cost = (len(batch) + 1) * sum(n * w for n, w in zip(counted, widths, strict=True))
        is_over = (cost if padding else exact) > size
        if is_hard and is_over and len(batch) >= min_batch_size:
            batches.append(batch)
            batch, padded = [], own
            exact = sum(n * w for n, w in zip(own, widths, strict=True))
            is_over = exact > size
        batch.append(uid)
        longest, total = padded, exact
        if is_over and len(batch) >= min_batch_size:
            batches.append(batch)
            batch, longest, total = [], [0] * len(shapes), 0
    if batch:
        batches.append(batch)
        return _treat_last(batches, min_batch_size, drop_last)
    return batches


def _split_evenly(uids: list[UttId], size: int, drop_last: bool) -> list[list[UttId]]:
    """Cut into batches that are never smaller than ``size``, unless there is only one."""
    if drop_last:
        return [uids[i : i + size] for i in range(0, len(uids) - size + 1, size)]
    count = max(len(uids) // size, 1)
    bounds = [len(uids) * i // count for i in range(count + 1)]
    return [uids[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def _treat_last(
    batches: list[list[UttId]], min_batch_size: int, drop_last: bool, num_spared: int = 0
) -> list[list[UttId]]:
    """Drop the remainder, or let the batches before a too small last one grow by its size.

    They grow from the end, without the ``num_spared`` last ones in the first round.
    """
    if drop_last and len(batches) > 1:
        return batches[:-1]
    if len(batches) < 2 or len(batches[-1]) >= min_batch_size:
        return batches
    sizes = [len(batch) for batch in batches[:-1]]
    for number in range(len(batches[-1])):
        sizes[(-1 - num_spared - number) % len(sizes)] += 1
    uids = itertools.chain.from_iterable(batches)
    return [list(itertools.islice(uids, size)) for size in sizes]


def _by_length(shapes: Shapes, *, is_descending: bool = False) -> list[UttId]:
    sign = -1 if is_descending else 1
    return sorted(shapes[0], key=lambda uid: sign * shapes[0][uid][0])


BATCH_TYPES: dict[str, Callable[..., list[list[UttId]]]] = {
    "unsorted": _unsorted,
    "sorted": _sorted,
    "folded": _folded,
    "length": _length,
    "numel": _numel,
}
"""Type → function of the shapes and the options of ``build_batch_sampler``."""
