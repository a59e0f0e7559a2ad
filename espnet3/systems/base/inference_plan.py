"""What ``infer`` and ``measure`` would do, found without torch by their own rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet3.systems.base.inference_fingerprint import (
    fingerprint_parts,
    input_files,
    with_test_set,
)
from espnet3.systems.base.inference_state import FinishedRun
from espnet3.systems.base.settings import InferenceSettings, MeasureSettings
from espnet3.utils.config_utils import to_plain
from espnet3.utils.settings import parse_settings
from espnet3.utils.stage_plan import StagePlan, State


def plan_infer(config: Any) -> StagePlan:
    """Compare what each test set's outputs were made of with what they would be made of now."""
    settings = parse_settings(config, InferenceSettings, key="")
    states: list[State] = []
    reasons, files = [], dict[Path, None]()
    for name in settings.test_names():
        own_config = to_plain(with_test_set(config, name))
        files.update((path, None) for paths in input_files(own_config).values() for path in paths)
        state, why = _compare(settings.inference_dir / name, own_config, settings)
        states.append(state)
        reasons.append(f"{name}: {why}")
    return StagePlan(
        state=next(s for s in ("would run", "unknown", "up to date") if s in states),
        why="; ".join(reasons),
        inputs=tuple(files),
        decides_by=tuple(files),
        outputs=tuple(settings.inference_dir / name for name in settings.test_names()),
    )


def _compare(
    folder: Path, config: Mapping[str, Any], settings: InferenceSettings
) -> tuple[State, str]:
    earlier = FinishedRun.load_reusable(folder)
    if earlier is None:
        return "would run", "not decoded yet"
    if not settings.reuses_finished_run:
        return "would run", "runner.resume is false"
    # The data set tells its length when it is built; until then it counts as unchanged.
    changes = earlier.find_changes(
        folder, fingerprint_parts(config, num_samples=earlier.num_samples)
    )
    if changes:
        return "would run", f"changed: {', '.join(changes)}"
    if earlier.num_failed:
        return "would run", f"{earlier.num_failed} samples failed last time"
    missing = earlier.lacks(settings.execution.limit)
    if missing:
        return "would run", f"{missing} samples are not decoded yet"
    if not input_files(config)["data"]:
        return "unknown", "only the built data set can tell whether it has changed"
    return (
        "up to date",
        f"same model, configuration and data ({earlier.num_samples - earlier.num_left} samples)",
    )


def plan_measure(config: Any) -> StagePlan:
    """Name the outputs of ``infer`` that are scored, and the score files."""
    settings = parse_settings(config, MeasureSettings, key="")
    folder = settings.inference_dir
    names = settings.test_names() or sorted({path.parent.name for path in folder.glob("*/*.scp")})
    return StagePlan(
        why="always runs; it takes seconds",
        inputs=tuple(folder / name for name in names) or (folder,),
        outputs=tuple(folder / name for name in ("metrics.json", "metrics.md")),
    )
