"""Is a test set complete? Scores over fewer utterances than it has are wrong."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from espnet3.errors import DataError
from espnet3.systems.base.inference_state import FinishedRun, is_unfinished
from espnet3.utils.scp_utils import read_scp

_SHOWN_FAILURES = 5


def read_coverage(folder: Path, inputs: Collection[Path]) -> dict[str, Any]:
    """Compare the number of lines to score with the number of samples, where that is known.

    Args:
        folder: Outputs of the test set.
        inputs: SCP files that are scored.

    Returns:
        ``scored``, ``samples`` and ``coverage`` (both null if unknown), ``unfinished`` and the
        ``failures`` that ``infer`` has reported, each with ``id`` and ``error``.
    """
    scored = min((sum(1 for _ in read_scp(path)) for path in inputs), default=0)
    run = FinishedRun.load(folder)
    total = run.num_samples if run else None
    return {
        "scored": scored,
        "samples": total,
        "coverage": round(min(1.0, scored / total), 6) if total else None,
        "unfinished": is_unfinished(folder),
        "failures": _read_failures(folder / "inference_report.json"),
    }


def refuse_incomplete(coverage: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise if a test set is known to be incomplete.

    Args:
        coverage: Result of :func:`read_coverage` by name of the test set.

    Raises:
        DataError: If so; it says what is missing, and why where that is known.
    """
    for name, counts in coverage.items():
        problem = None
        failures = counts["failures"]
        if counts["unfinished"]:
            problem = "a run of `infer` on it has not finished"
        elif counts["samples"] is not None and counts["scored"] < counts["samples"]:
            problem = f"only {counts['scored']} of {counts['samples']} samples have an output"
        elif failures:
            problem = f"`infer` failed on {len(failures)} samples"
        if problem:
            lines = [f"\n  {f['id']}: {f['error']}" for f in failures[:_SHOWN_FAILURES]]
            raise DataError(
                f"test set {name!r} is incomplete: {problem}{''.join(lines)}\n  run the stage "
                "`infer` again, or set `allow_incomplete: true` to score what there is"
            )


def _read_failures(path: Path) -> list[dict[str, str]]:
    try:
        failures = json.loads(path.read_text(encoding="utf-8")).get("failures") or []
        return [{"id": str(f["id"]), "error": str(f.get("error"))} for f in failures]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a report of `infer` ({error})\n  run the stage `infer` again"
        ) from error
