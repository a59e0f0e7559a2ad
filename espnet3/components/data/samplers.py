"""Batches from shape files, for iterator factories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from espnet3.components.data.batch_types import BATCH_TYPES, Shapes
from espnet3.components.data.fileio import ShapeFileError, read_shape
from espnet3.errors import ConfigError, MissingConfigError, SettingError, did_you_mean
from espnet3.utils.types import PathLike, UttId

Batch = tuple[UttId, ...]
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
    if type not in BATCH_TYPES:
        hint = did_you_mean(type, BATCH_TYPES)
        valid = ", ".join(BATCH_TYPES)
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
    batches = BATCH_TYPES[type](
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
