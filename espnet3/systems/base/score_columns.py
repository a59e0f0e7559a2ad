"""What is known about each utterance of a test set, to split and to group its scores by."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO, TypeAlias

from espnet3.errors import ConfigError, DataError, SettingError, did_you_mean
from espnet3.systems.base.settings import BLOCK_KEY
from espnet3.utils.scp_utils import read_scp
from espnet3.utils.types import UttId

Column: TypeAlias = Mapping[UttId, str]

LENGTH = "length"
"""A column that every score has: the number of reference tokens."""
_ID = "utt_id"
_SHOWN_IDS = 5


def load_columns(
    names: Mapping[str, str], folder: Path, metadata: Path | None
) -> dict[str, Column]:
    """Return the value of each column for each utterance, without :data:`LENGTH`.

    Args:
        names: Columns, each with the key that names it; ``<folder>/<name>.scp`` goes before a
            column of ``metadata``.
        folder: Outputs of the test set.
        metadata: Table whose first line names its columns, one of them ``utt_id``; fields are
            separated by commas in a ``.csv`` file, else by tabs.

    Raises:
        ConfigError: If there is no such column, or no file ``metadata``.
        DataError: If ``metadata`` is no such table.
    """
    if metadata is not None and not metadata.is_file():
        raise ConfigError("no such file", key="metadata", value=str(metadata))
    columns: dict[str, Column] = {}
    table: dict[str, Column] | None = None
    for name, key in names.items():
        scp = folder / f"{name}.scp"
        if scp.is_file():
            columns[name] = dict(read_scp(scp))
        elif name != LENGTH or key == BLOCK_KEY:
            table = table if table is not None else _read_table(metadata)
            if name not in table:
                fields = (path.stem for path in folder.glob("*.scp"))
                raise unknown_column(name, key, folder, metadata, {*fields, *table})
            columns[name] = table[name]
    return columns


def values_of(columns: Mapping[str, Column], name: str, utt_ids: Sequence[UttId]) -> list[str]:
    """Return a column's value for each utterance.

    Raises:
        DataError: If an utterance has none.
    """
    column = columns[name]
    missing = [utt_id for utt_id in utt_ids if utt_id not in column]
    if missing:
        raise DataError(
            f"column {name!r} has no value for {len(missing)} of {len(utt_ids)} utterances: "
            + ", ".join(missing[:_SHOWN_IDS])
        )
    return [column[utt_id] for utt_id in utt_ids]


def read_header(path: Path) -> list[str]:
    """Return the columns of a table, without the one of ids.

    Raises:
        DataError: If its first line does not name them.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        header = _check_header(next(_read_rows(stream, path), []), path)
    return [name for name in header if name != _ID]


def _read_rows(stream: TextIO, path: Path) -> Iterator[list[str]]:
    is_csv = path.suffix == ".csv"
    return csv.reader(
        stream,
        delimiter="," if is_csv else "\t",
        quoting=csv.QUOTE_MINIMAL if is_csv else csv.QUOTE_NONE,
    )


def _check_header(header: list[str], path: Path) -> list[str]:
    if _ID not in header:
        raise DataError(
            f"{path}: the first line must name the columns, one of them {_ID}; it has: "
            + ", ".join(header)
        )
    return header


def _read_table(path: Path | None) -> dict[str, Column]:
    if path is None:
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        rows = _read_rows(stream, path)
        header = _check_header(next(rows, []), path)
        content = [row for row in rows if row]
    short = next((n for n, row in enumerate(content, start=2) if len(row) != len(header)), None)
    if short is not None:
        raise DataError(
            f"{path}:{short}: the first line names {len(header)} columns, not this many"
        )
    ids = [row[header.index(_ID)] for row in content]
    repeated = [utt_id for utt_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: listed twice: {', '.join(repeated[:_SHOWN_IDS])}")
    return {
        name: dict(zip(ids, (row[place] for row in content), strict=True))
        for place, name in enumerate(header)
        if name != _ID
    }


def unknown_column(
    name: str, key: str, folder: Path, metadata: Path | None, known: Collection[str]
) -> ConfigError:
    """Return the error for a column that a test set does not have.

    Args:
        name: The column.
        key: Key that names it.
        folder: Outputs of the test set.
        metadata: Table of the test set.
        known: Output fields and columns of the table.
    """
    # The length is what counts of an utterance; it is nothing that utterances have in common.
    columns = sorted({*known} if key == BLOCK_KEY else {LENGTH, *known})
    hint = did_you_mean(name, columns)
    if hint is None:
        hint = f"there are {', '.join(columns) or 'none'}"
        if metadata is None:
            hint += "; further columns can come from a table, see the key `metadata`"
    if (name, key) == (LENGTH, BLOCK_KEY):
        message = "cannot be blocks: a length is nothing that utterances have in common"
        return SettingError(message, key=key, value=name, hint=hint)
    place = f"neither {folder} nor {metadata or '`metadata`'}"
    return SettingError(f"{place} has such a column", key=key, value=name, hint=hint)
