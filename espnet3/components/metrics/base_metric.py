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
    """What the latest scores were made of, as JSON; goes to ``metrics_details.json``.

    A metric with one score that is ``100 * errors / reference length`` may write one
    :class:`~espnet3.components.metrics.utterance_records.UtteranceRecord` per utterance into the
    folder of the test set, and name that file in ``details["utterances_file"]``: from it come
    confidence intervals, breakdowns and comparisons.
    """
    stem: str = ""
    """Start of the names of its files; ``measure`` gives each metric of a run another one."""

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
            ScpError: If ``keys`` is empty, an id occurs twice, or the files do not have the same
                ids.
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
        seen: set[UttId] = set()
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
            _check_new(utt_id, seen, paths[first])
            yield utt_id, {key: row[1] for key, row in zip(paths, rows, strict=True)}


def _iter_joined(paths: Mapping[str, Path]) -> Iterator[tuple[UttId, dict[str, str]]]:
    first, *others = paths
    tables = {key: _read_table(paths[key]) for key in others}
    seen: set[UttId] = set()
    with contextlib.closing(read_scp(paths[first])) as rows:
        for utt_id, value in rows:
            absent = [key for key, table in tables.items() if utt_id not in table]
            if absent:
                raise ScpError(
                    f"UID mismatch between {first} and {absent[0]}: the latter lacks {utt_id!r}"
                    f"{_describe(paths)}"
                )
            _check_new(utt_id, seen, paths[first])
            yield utt_id, {first: value, **{key: table[utt_id] for key, table in tables.items()}}
    if any(len(table) != len(seen) for table in tables.values()):
        raise ScpError(f"SCP length mismatch{_describe(paths)}")


def _read_table(path: Path) -> dict[UttId, str]:
    table: dict[UttId, str] = {}
    seen: set[UttId] = set()
    for utt_id, value in read_scp(path):
        _check_new(utt_id, seen, path)
        table[utt_id] = value
    return table


def _check_new(utt_id: UttId, seen: set[UttId], path: Path) -> None:
    if utt_id in seen:
        raise ScpError(
            f"{path}: id {utt_id!r} occurs twice, so scores would count it twice\n"
            "  an id ends at the first whitespace: ids that hold some look alike up to there"
        )
    seen.add(utt_id)


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
