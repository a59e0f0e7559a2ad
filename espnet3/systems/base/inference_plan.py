"""What ``infer`` and ``measure`` would do, found without torch by their own rules."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet3.systems.base.inference import with_test_set
from espnet3.systems.base.inference_fingerprint import fingerprint_parts
from espnet3.systems.base.inference_state import FinishedRun
from espnet3.systems.base.settings import InferenceSettings, MeasureSettings
from espnet3.utils.config_utils import to_plain
from espnet3.utils.settings import parse_settings
from espnet3.utils.stage_plan import StagePlan, State

_FILE_PARTS = ("data.", "model.")
_LENGTH = "data.length"


def plan_infer(config: Any) -> StagePlan:
    """Compare what each test set's outputs were made of with what they would be made of now."""
    settings = parse_settings(config, InferenceSettings, key="")
    states: list[State] = []
    reasons, files = [], dict[Path, None]()
    for name in settings.test_names():
        folder = settings.inference_dir / name
        earlier = FinishedRun.load(folder)
        own_config = to_plain(with_test_set(config, name))
        # The data set tells its length when it is built; until then it counts as unchanged.
        parts = fingerprint_parts(own_config, num_samples=earlier.num_samples if earlier else 0)
        files.update(dict.fromkeys(_files(parts)))
        state, why = _compare(folder, earlier, parts, settings)
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
    folder: Path, earlier: FinishedRun | None, parts: dict[str, str], settings: InferenceSettings
) -> tuple[State, str]:
    if earlier is None:
        return "would run", "not decoded yet"
    if not settings.reuses_finished_run:
        return "would run", "runner.resume is false"
    changes = earlier.find_changes(folder, parts)
    if changes:
        return "would run", f"changed: {', '.join(changes)}"
    if not any(name.startswith("data.") and name != _LENGTH for name in parts):
        return "unknown", "only the built data set can tell whether it has changed"
    return "up to date", f"same model, configuration and data ({earlier.num_samples} samples)"


def _files(parts: Iterable[str]) -> list[Path]:
    names = [name for name in parts if name.startswith(_FILE_PARTS) and name != _LENGTH]
    return [Path(name.split(".", 1)[1]) for name in names]


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
