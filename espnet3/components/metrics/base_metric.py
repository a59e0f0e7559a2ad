"""The contract of a metric, and how it reads what it scores."""

from __future__ import annotations

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from espnet3.errors import ConfigError, ScpError
from espnet3.utils.scp_utils import read_scp
from espnet3.utils.types import UttId

Alignment: TypeAlias = Literal["order", "by_id"]
"""``order``: files list the same ids in the same order; ``by_id``: in any order."""

_SHOWN_IDS = 5


class BaseMetric(ABC):
    """Score the outputs of one test set.

    Subclasses that read SCP files name their inputs in ``ref_key`` and ``hyp_key``, or
    metrics.yaml names them in ``inputs``.
    """

    details: Mapping[str, Any] = {}
    """What the latest scores were made of, as JSON; goes to ``metrics_details.json``."""

    @abstractmethod
    def __call__(self, data: dict[str, Path], test_name: str, output_dir: Path) -> dict[str, float]:
        """Return scores by name.

        Args:
            data: SCP file of each input, by alias.
            test_name: Name of the test set.
            output_dir: Folder of the inference outputs; files about this test set belong into
                ``output_dir / test_name``.
        """

    def iter_inputs(
        self, data: Mapping[str, Path], *keys: str, align: Alignment = "order"
    ) -> Iterator[tuple[UttId, dict[str, str]]]:
        """Yield ``(id, {key: value})`` of SCP files, in the order of the first one.

        Rows before a defect are yielded first.

        Args:
            data: SCP file of each input, by alias.
            *keys: Aliases to read together.
            align: Whether the files must agree line by line. ``by_id`` holds all but the first
                file in memory.

        Raises:
            ScpError: If ``keys`` is empty, or the files do not have the same ids.
            ConfigError: If ``data`` lacks one of ``keys``.
        """
        if not keys:
            raise ScpError("At least one SCP key is required")
        missing = [key for key in keys if key not in data]
        if missing:
            raise ConfigError(
                f"{type(self).__name__} needs the input(s) {', '.join(missing)}",
                key="inputs",
                value=list(data),
            )
        paths = {key: Path(data[key]) for key in keys}
        return _iter_joined(paths) if align == "by_id" else _iter_lockstep(paths)


def _iter_lockstep(paths: Mapping[str, Path]) -> Iterator[tuple[UttId, dict[str, str]]]:
    first, *others = paths
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(contextlib.closing(read_scp(p))) for p in paths.values()]
        for rows in itertools.zip_longest(*readers):
            if None in rows:
                raise ScpError(f"SCP length mismatch{_describe(paths)}")
            utt_id = rows[0][0]
            for other, row in zip(others, rows[1:], strict=True):
                if row[0] != utt_id:
                    raise ScpError(
                        f"UID mismatch between {first} and {other}: {utt_id!r} and {row[0]!r}"
                        f"{_describe(paths)}"
                    )
            yield utt_id, {key: row[1] for key, row in zip(paths, rows, strict=True)}


def _iter_joined(paths: Mapping[str, Path]) -> Iterator[tuple[UttId, dict[str, str]]]:
    first, *others = paths
    tables = {key: dict(read_scp(paths[key])) for key in others}
    count = 0
    with contextlib.closing(read_scp(paths[first])) as rows:
        for utt_id, value in rows:
            absent = [key for key, table in tables.items() if utt_id not in table]
            if absent:
                raise ScpError(
                    f"UID mismatch between {first} and {absent[0]}: the latter lacks {utt_id!r}"
                    f"{_describe(paths)}"
                )
            count += 1
            yield utt_id, {first: value, **{key: table[utt_id] for key, table in tables.items()}}
    if any(len(table) != count for table in tables.values()):
        raise ScpError(f"SCP length mismatch{_describe(paths)}")


def _describe(paths: Mapping[str, Path]) -> str:
    """Return the number of lines of each file, and the first ids that another one lacks."""
    ids = {key: [utt_id for utt_id, _ in read_scp(path)] for key, path in paths.items()}
    shared = set.intersection(*(set(names) for names in ids.values()))
    lines = []
    for key, names in ids.items():
        alone = [name for name in names if name not in shared][:_SHOWN_IDS]
        lines.append(
            f"\n  {key} ({paths[key]}): {len(names)} lines"
            + (f"; not in all files: {', '.join(alone)}" if alone else "")
        )
    return "".join(lines) + ("" if any("not in" in line for line in lines) else _same_ids_hint())


def _same_ids_hint() -> str:
    return "\n  the ids are the same in another order: sort the files, or set `align: by_id`"
