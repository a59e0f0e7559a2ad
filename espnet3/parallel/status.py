"""How far a run is, by the files that it leaves: ``python -m espnet3.parallel.status FOLDER``.

It asks no process, so it works for runs that are dead, that run on other machines, and for
detached jobs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.parallel.job_state import find_death, find_holder
from espnet3.utils.lock_utils import read_holder
from espnet3.utils.types import Seconds

_STATE_DIR = ".infer"
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One test set, sharded output or detached job."""

    name: str
    num_done: int
    num_total: int | None
    """``None`` if the run has not said it."""
    state: str
    """What is known besides, for people."""

    def __str__(self) -> str:
        total = "?" if self.num_total is None else str(self.num_total)
        share = f"{100 * self.num_done // self.num_total:3d} %" if self.num_total else "     "
        return f"{self.name}  {self.num_done}/{total}  {share}  {self.state}"


def find_progress(folder: Path) -> Iterator[Progress]:
    """Yield what a folder and its subfolders tell about runs.

    Args:
        folder: An ``inference_dir``, one test set of it, an ``output_dir`` of shards, or the
            ``async_specs_dir`` of detached jobs.
    """
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        if (place / _STATE_DIR).is_dir():
            yield _read_test_set(place)
        if (place / "manifest.json").is_file():
            yield from _read_shards(place)
        for spec in sorted(place.glob("spec-*.json")):
            if not spec.name.endswith(".secrets.json"):
                yield _read_job(spec)


def _read_test_set(folder: Path) -> Progress:
    state = folder / _STATE_DIR
    done = _read_json(state / "done.json")
    if "num_samples" in done:
        return _read_finished(folder.name, done)
    journal = state / "journal.jsonl"
    lines = _read_lines(journal)
    # The first line has the number, and one more for each run that has found another.
    headers = [_parse(line) for line in lines if line.startswith(b"{")]
    totals = [header["samples"] for header in headers if "samples" in header]
    # A sample is a list; a line that the killed run was writing has no end.
    indices: set[int] = set()
    for line in lines:
        if line.startswith(b"["):
            indices.add(int(line[1:].split(b",", 1)[0]))
        elif line.startswith(b'{"dropped"'):
            indices.discard(_parse(line)["dropped"])
    failed = len(_read_lines(state / "failures.jsonl"))
    holder = read_holder(state / "lock")
    return Progress(
        name=folder.name,
        num_done=len(indices),
        num_total=totals[-1] if totals else None,
        state=", ".join(
            [
                holder or "not running",
                *([f"{failed} failed"] if failed else []),
                *_describe_age(journal),
            ]
        ),
    )


def _read_finished(name: str, done: dict[str, Any]) -> Progress:
    total, failed, left = done["num_samples"], done.get("num_failed", 0), done.get("num_left", 0)
    state = "done" + (f", {failed} failed" if failed else "")
    return Progress(
        name=name,
        num_done=min(total - failed - left, done.get("num_records", total)),
        num_total=total,
        state=state + (f" up to execution.limit, {left} left" if left else ""),
    )


def _read_shards(folder: Path) -> Iterator[Progress]:
    shards = _read_json(folder / "manifest.json").get("shards")
    if isinstance(shards, list):
        missing = [name for name in shards if not (folder / str(name) / "done").is_file()]
        yield Progress(
            name=f"{folder.name} (shards)",
            num_done=len(shards) - len(missing),
            num_total=len(shards),
            state=f"missing: {', '.join(map(str, missing))}" if missing else "done",
        )


def _read_job(path: Path) -> Progress:
    spec = _read_json(path)
    death, holder = find_death(path), find_holder(path)
    result = Path(spec.get("result_path") or path.with_suffix(".none"))
    count, total = len(_read_lines(result)), len(spec.get("indices", []))
    return Progress(
        name=f"job {path.stem.removeprefix('spec-')}",
        num_done=count,
        num_total=total,
        state="done" if count >= total else _describe_job(death, holder, result),
    )


def _describe_job(death: str | None, holder: str | None, result: Path) -> str:
    known = [f"died: {_shorten(death)}"] if death else [holder] if holder else []
    return ", ".join([*known, *_describe_age(result)]) or "not started"


def _shorten(death: str) -> str:
    first, *rest = death.splitlines()
    return f"{first} … {rest[-1]}" if rest else first


def _read_lines(path: Path) -> list[bytes]:
    """Return the complete lines of a file, none if there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return content.split(b"\n")[:-1]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        return {}


def _parse(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _describe_age(path: Path) -> list[str]:
    try:
        return [f"last result {format_age(time.time() - path.stat().st_mtime)} ago"]
    except FileNotFoundError:
        return []


def format_age(seconds: Seconds) -> str:
    """Return a duration in its largest unit.

    Example:
        >>> format_age(3.2), format_age(200), format_age(1e6)
        ('3 s', '3 min', '11 d')
    """
    for size, name in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return "0 s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one line per test set, sharded output and detached job; 1 if there is none."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet3.parallel.status",
        description="How far the runs in a folder are, running or dead.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="inference_dir, output_dir or async_specs_dir")
    folder: Path = parser.parse_args(arguments).folder
    if not folder.is_dir():
        parser.error(f"{folder}: no such folder")
    lines = [f"{progress}\n" for progress in find_progress(folder)]
    sys.stdout.write("".join(lines) or f"no run has left anything in {folder}\n")
    return 0 if lines else 1


if __name__ == "__main__":
    sys.exit(main())
