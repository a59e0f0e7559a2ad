"""The run plan that ``--dry_run`` shows: for each stage, what it would do and with which files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import Espnet3Error
from espnet3.utils.stage_plan import StagePlan, find_planner
from espnet3.utils.stage_table import stage_entry

_MAX_FILES = 2000
_UNDECLARED = StagePlan(why="always runs (it declares no inputs and outputs)")


def log_run_plan(system: Any, stages: Sequence[str], log: logging.Logger) -> None:
    """Log the plan of the given stages as a table. Imports no torch and writes nothing."""
    plans = {stage: plan_stage(system, stage) for stage in stages}
    log.info("run plan:\n%s", format_plans(consider_order(plans)))


def plan_stage(system: Any, stage: str) -> StagePlan:
    """Return what a stage declares; an error of its settings is what it would fail with."""
    planner = find_planner(system, stage)
    if planner is None:
        return _UNDECLARED
    absent = [slot for slot in stage_entry(stage).slots if getattr(system, slot, None) is None]
    if absent:
        return StagePlan(state="would fail", why=f"needs {', '.join(absent)}")
    try:
        return planner(system)
    except (Espnet3Error, OSError, OmegaConfBaseException) as error:
        return StagePlan(state="would fail", why=str(error))


def consider_order(plans: Mapping[str, StagePlan]) -> dict[str, StagePlan]:
    """Take into account that an earlier stage of the same run may change what a later one reads."""
    considered: dict[str, StagePlan] = {}
    for stage, plan in plans.items():
        considered[stage] = plan
        pending = [name for name, other in considered.items() if other.state != "up to date"]
        if plan.state == "would fail" and not plan.is_final and pending[:1] != [stage]:
            why = f"it would fail as things are, before {pending[0]}: {plan.why}"
            considered[stage] = replace(plan, state="unknown", why=why)
        if plan.state != "up to date":
            continue
        for earlier, other in considered.items():
            path = _shared(plan.decides_by, other.outputs)
            if path is None or other.state == "up to date":
                continue
            if other.state == "would run":
                why = f"{earlier} runs before it and writes {path}"
                considered[stage] = replace(plan, state="unknown", why=why)
                break
            note = f"unless {earlier} changes {path}"
            considered[stage] = replace(plan, notes=(*plan.notes, note))
            break
    return considered


def _shared(read: Sequence[Path], written: Sequence[Path]) -> Path | None:
    for path in read:
        for other in written:
            if _is_below(path, other) or _is_below(other, path):
                return path
    return None


def _is_below(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def format_plans(plans: Mapping[str, StagePlan]) -> str:
    """Render plans as text: one line per stage, and below it one line per path and note."""
    width = max(map(len, plans), default=0)
    lines: list[str] = []
    for stage, plan in plans.items():
        why, *more = plan.why.splitlines() or [""]
        lines.append(f"  {stage:{width}}  {plan.state:10}  {why}")
        lines += [f"      {line.strip()}" for line in more if line.strip()]
        lines += [f"      {line}" for line in _details(plan)]
    return "\n".join(lines)


def _details(plan: StagePlan) -> Iterator[str]:
    for label, paths in (("reads", plan.inputs), ("writes", plan.outputs)):
        shown = [str(path) for path in paths]
        width = max(map(len, shown), default=0)
        for path, text in zip(paths, shown, strict=True):
            yield f"{label:7} {text:{width}}  {describe_path(path)}"
    width = max((len(name) for name, _ in plan.uploads), default=0)
    for name, size in plan.uploads:
        yield f"uploads {name:{width}}  {format_size(size)}"
    for note in plan.notes:
        yield f"note    {note}"


def describe_path(path: Path) -> str:
    """Return the size of a file, files and size of a folder, or ``absent``."""
    if path.is_dir():
        count, size, is_all = _measure(path)
        more = "" if is_all else "more than "
        return f"{more}{count} files, {more}{format_size(size)}"
    return format_size(path.stat().st_size) if path.exists() else "absent"


def _measure(folder: Path) -> tuple[int, int, bool]:
    """Return number and bytes of the files below a folder, and whether those are all of them."""
    count = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if count == _MAX_FILES:
                return count, size, False
            count += 1
            # A broken link counts as a file without content.
            size += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - a hot loop
    return count, size, True


def short_path(path: Path) -> Path:
    """Return a path as it reads from here, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def format_size(size: float) -> str:
    """Return a number of bytes for people.

    Example:
        >>> format_size(512), format_size(1_234_567)
        ('512 B', '1.2 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
