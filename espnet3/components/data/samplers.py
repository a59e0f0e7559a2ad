"""Batches from shape files, for iterator factories."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet3.components.data.fileio import ShapeFileError, read_shape
from espnet3.errors import ConfigError, MissingConfigError, SettingError, did_you_mean
from espnet3.utils.types import PathLike, UttId

Batch = tuple[UttId, ...]
Shapes = list[dict[UttId, tuple[int, ...]]]
_ORDERS = ("ascending", "descending")


class BatchList:
    """A fixed list of batches of utterance ids."""

    def __init__(self, batch_type: str, batches: Sequence[Batch]) -> None:
        self.batch_type = batch_type
        self.batches = list(batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __repr__(self) -> str:
        sizes = [len(batch) for batch in self.batches]
        return (
            f"BatchList(type={self.batch_type}, batches={len(sizes)},"
            f" smallest={min(sizes)}, largest={max(sizes)})"
        )

    def generate(self, seed: int) -> list[Batch]:
        """Return the batches; these types do not depend on the seed."""
        return list(self.batches)


def build_batch_sampler(
    type: str,  # noqa: A002 - the name in recipes
    batch_size: int | None = None,
    batch_bins: int | None = None,
    shape_files: Sequence[PathLike] = (),
    sort_in_batch: str = "descending",
    sort_batch: str = "ascending",
    drop_last: bool = False,
    min_batch_size: int = 1,
    fold_lengths: Sequence[int] = (),
    padding: bool = True,
    utt2category_file: PathLike | None = None,
    budget: str = "soft",
) -> BatchList:
    """Make batches of the utterances in shape files.

    Args:
        type: ``unsorted``, ``sorted``, ``folded``, ``length`` or ``numel``.
        batch_size: Utterances per batch, for the first three types.
        batch_bins: Budget of a batch, for the last two.
        shape_files: Shape files with the same utterances.
        sort_in_batch: Order by length inside a batch.
        sort_batch: Order of the batches by length.
        drop_last: Drop the remainder.
        min_batch_size: Fewest utterances in a batch.
        fold_lengths: For ``folded``, one length per shape file; a batch shrinks by one part for
            each time that its longest utterance is longer.
        padding: Count padded sizes rather than true ones.
        utt2category_file: For ``folded``, lines ``<uid> <category>``; batches keep to one.
        budget: ``soft`` closes a batch after the utterance that overflows ``batch_bins``,
            ``hard`` before it.

    Raises:
        ConfigError: If ``type`` or an order is unknown, or no shape file is given.
        MissingConfigError: If the type needs a size that is not given.
        SettingError: If a size is not positive.
        ShapeFileError: If shape files are empty or hold different utterances.
    """
    if type not in _BUILDERS:
        hint = did_you_mean(type, _BUILDERS)
        valid = ", ".join(_BUILDERS)
        raise ConfigError(f"must be one of {valid}", key="batches.type", value=type, hint=hint)
    needed = "batch_bins" if type in ("length", "numel") else "batch_size"
    sizes = {"batch_size": batch_size, "batch_bins": batch_bins, "min_batch_size": min_batch_size}
    if sizes[needed] is None:
        raise MissingConfigError(f"type {type} needs it", key=f"batches.{needed}")
    for name, value in sizes.items():
        if value is not None and value < 1:
            raise SettingError("must be positive", key=f"batches.{name}", value=value)
    for name, order in (("sort_in_batch", sort_in_batch), ("sort_batch", sort_batch)):
        if order not in _ORDERS:
            raise ConfigError("must be ascending or descending", key=f"batches.{name}", value=order)
    if type == "folded" and len(fold_lengths) != len(shape_files):
        raise ConfigError(
            f"needs one value per shape file: {len(shape_files)}",
            key="batches.fold_lengths",
            value=list(fold_lengths),
        )
    shapes = _read(shape_files, type)
    batches = _BUILDERS[type](
        shapes,
        size=sizes[needed],
        drop_last=drop_last,
        min_batch_size=min_batch_size,
        fold_lengths=fold_lengths,
        padding=padding,
        categories=_read_categories(utt2category_file),
        is_hard=budget == "hard",
        is_descending=sort_in_batch == "descending",
    )
    if type == "sorted":
        batches = batches if sort_in_batch == sort_batch else batches[::-1]
    elif type != "unsorted":
        batches = _sort(batches, sort_in_batch, sort_batch)
    return BatchList(type, [tuple(batch) for batch in batches])


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


def _sort(batches: list[list[UttId]], sort_in_batch: str, sort_batch: str) -> list[list[UttId]]:
    """Turn batches that are ascending in both senses."""
    if sort_in_batch == "descending":
        batches = [batch[::-1] for batch in batches]
    return batches[::-1] if sort_batch == "descending" else batches


def _read(shape_files: Sequence[PathLike], batch_type: str) -> Shapes:
    if not shape_files:
        raise ConfigError("needs at least one file", key="batches.shape_files", value=[])
    is_unsorted = batch_type == "unsorted"
    files = shape_files[:1] if is_unsorted or batch_type == "sorted" else shape_files
    shapes = [read_shape(file, allow_blank=is_unsorted) for file in files]
    for file, table in zip(files, shapes, strict=True):
        if not table:
            raise ShapeFileError(f"shape file {file} is empty; run collect_stats again")
        if table.keys() != shapes[0].keys():
            raise ShapeFileError(f"{file} and {files[0]}: keys are mismatched")
    return shapes


def _read_categories(path: PathLike | None) -> dict[UttId, str]:
    if path is None:
        return {}
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip())
    return {pair[0]: pair[1] for pair in pairs}


_BUILDERS: dict[str, Callable[..., list[list[UttId]]]] = {
    "unsorted": _unsorted,
    "sorted": _sorted,
    "folded": _folded,
    "length": _length,
    "numel": _numel,
}
