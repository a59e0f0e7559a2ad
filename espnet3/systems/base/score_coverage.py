"""Is a test set complete? Scores over fewer utterances than it has are wrong."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from espnet3.errors import DataError
from espnet3.parallel.status import find_progress
from espnet3.systems.base.inference_state import FinishedRun, artifacts_exist, is_unfinished
from espnet3.utils.scp_utils import read_scp

_SHOWN_FAILURES = 5


def read_coverage(folder: Path, inputs: Collection[Path]) -> dict[str, Any]:
    """Compare the number of lines to score with the number of samples, where that is known.

    Args:
        folder: Outputs of the test set.
        inputs: SCP files that are scored.

    Returns:
        ``scored``, ``samples`` and ``coverage`` (both null if unknown), ``unfinished`` and the
        ``failures`` that ``infer`` has reported, each with ``id`` and ``error``; if unfinished also
        ``decoded``, the samples that wait in the journal.
    """
    run = FinishedRun.load(folder)
    lost = [path.stem for path in inputs if run and _is_lost(run, path)]
    scored = min((sum(1 for _ in read_scp(path)) for path in inputs), default=0)
    total = run.num_samples if run else None
    decoded = {}
    if is_unfinished(folder):
        progress = next(find_progress(folder))
        total, decoded = progress.num_total, {"decoded": progress.num_done}
    return {
        "scored": scored,
        "samples": total,
        "coverage": round(min(1.0, scored / total), 6) if total else None,
        "unfinished": is_unfinished(folder),
        "failures": _read_failures(folder / "inference_report.json"),
        **({"lost_files": lost} if lost else {}),
        **decoded,
    }


def find_undecoded(folder: Path, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the coverage of test sets whose interrupted run has left no SCP file to score.

    Args:
        folder: ``inference_dir``.
        names: Test sets.
    """
    return {
        name: read_coverage(folder / name, [])
        for name in names
        if is_unfinished(folder / name) and not any((folder / name).glob("*.scp"))
    }


def describe_gap(counts: Mapping[str, Any]) -> str | None:
    """Return what is missing in a test set, ``None`` if nothing is known to be.

    Args:
        counts: Result of :func:`read_coverage`.
    """
    total = "an unknown number of" if counts["samples"] is None else counts["samples"]
    if counts["unfinished"]:
        done = f"{counts['decoded']} of {total} samples are decoded"
        return f"a run of `infer` on it has not finished ({done})"
    if counts.get("lost_files"):
        return f"files of output {', '.join(counts['lost_files'])} are gone"
    if counts["samples"] is not None and counts["scored"] < counts["samples"]:
        return f"only {counts['scored']} of {total} samples have an output"
    return f"`infer` failed on {len(counts['failures'])} samples" if counts["failures"] else None


def refuse_incomplete(coverage: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise if a test set is known to be incomplete.

    Args:
        coverage: Result of :func:`read_coverage` by name of the test set.

    Raises:
        DataError: If so; it says what is missing, and why where that is known.
    """
    for name, counts in coverage.items():
        problem = describe_gap(counts)
        if problem:
            shown = counts["failures"][:_SHOWN_FAILURES]
            lines = [f"\n  {f['id']}: {f['error']}" for f in shown]
            raise DataError(
                f"test set {name!r} is incomplete: {problem}{''.join(lines)}\n  run the stage "
                "`infer` again, or set `allow_incomplete: true` to score what there is"
            )


def _is_lost(run: FinishedRun, scp: Path) -> bool:
    return scp.stem in run.artifact_fields and scp.is_file() and not artifacts_exist(scp)


def _read_failures(path: Path) -> list[dict[str, str]]:
    try:
        failures = json.loads(path.read_text(encoding="utf-8")).get("failures") or []
        return [
            {"id": str(f["id"] or f"item {f.get('index')}"), "error": str(f.get("error"))}
            for f in failures
        ]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a report of `infer` ({error})\n  run the stage `infer` again"
        ) from error
