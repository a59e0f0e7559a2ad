"""What ``collect_stats`` and ``train`` would do, found without torch by their own rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet3.components.callbacks.checkpoint_files import metric_stem
from espnet3.components.callbacks.settings import read_criteria
from espnet3.components.data.stats_identity import (
    CONTENT,
    data_files,
    find_changes,
    identify,
    read_parts,
    stats_config,
    with_preprocessor_mode,
)
from espnet3.components.modeling.settings import ModuleSettings, stats_arguments
from espnet3.systems.base.config_changes import describe_changes
from espnet3.systems.base.model_section import check_model, without_normalizer
from espnet3.systems.base.resume import ResumePoint, find_start
from espnet3.systems.base.settings import TrainingSettings
from espnet3.utils.config_utils import to_plain
from espnet3.utils.settings import parse_settings
from espnet3.utils.stage_plan import StagePlan, State


def plan_collect_stats(config: Any) -> StagePlan:
    """Compare what the statistics were made of with what they would be made of now."""
    settings = parse_settings(config, TrainingSettings, key="")
    check_model(settings)
    splits = stats_arguments(parse_settings(without_normalizer(config), ModuleSettings, key=""))
    if settings.lightning_module or settings.trainer_class:
        return StagePlan(
            state="unknown",
            why="the recipe's lightning_module and trainer_class decide when they run",
            outputs=tuple(_stats_folder(split) for split in splits),
        )
    states, reasons = zip(*map(_compare_stats, splits), strict=True)
    files = tuple(dict.fromkeys(f for split in splits for f in data_files(_stats_config(split))))
    return StagePlan(
        state=next(s for s in ("would run", "unknown", "up to date") if s in states),
        why="; ".join(reasons),
        inputs=files,
        decides_by=files,
        outputs=tuple(_stats_folder(split) for split in splits),
    )


def _stats_folder(split: dict[str, Any]) -> Path:
    return Path(split["output_dir"], split["mode"])


def _stats_config(split: dict[str, Any]) -> dict[str, Any]:
    mode = split["mode"]
    dataset = with_preprocessor_mode(to_plain(split["dataset_config"]), mode, split["augment"])
    return stats_config(
        split["model_config"], dataset, split["dataloader_config"], mode, split["task"]
    )


def _compare_stats(split: dict[str, Any]) -> tuple[State, str]:
    mode = split["mode"]
    earlier = read_parts(_stats_folder(split))
    if not split["resume"]:
        return "would run", f"{mode}: collect_stats.resume is false"
    if not earlier:
        return "would run", f"{mode}: not collected yet"
    try:
        parts = identify(
            _stats_config(split),
            params={"write_collected_feats": split["write_collected_feats"]},
            keys=split["keys"],
            lengths_only=split["lengths_only"],
        )
    except TypeError:
        return "would run", f"{mode}: its settings cannot be compared"
    changes = find_changes({k: v for k, v in earlier.items() if k != CONTENT}, parts)
    if changes:
        return "would run", f"{mode}: changed: {', '.join(changes)}"
    if not any(name.startswith("data.") for name in parts):
        return "unknown", f"{mode}: only the built data set can tell whether its content changed"
    return "up to date", f"{mode}: same data files and settings"


def plan_train(config: Any) -> StagePlan:
    """Say where training would start, and what changed since it started."""
    settings = parse_settings(config, TrainingSettings, key="")
    check_model(settings)
    start = find_start(settings, _read_outline)
    exp_dir, state, why, notes = settings.exp_dir, "would run", "from scratch", []
    if settings.init_from is not None:
        why = f"from the weights in {settings.init_from.path} (init_from)"
    if isinstance(start, ResumePoint):
        done = f"{start.epochs} epochs, {start.steps} steps ({start.path})"
        way_on = start.way_on(settings.trainer)
        state, why = "would run", f"goes on after {done}"
        if way_on is not None:
            state, why = "up to date", f"finished: {done}"
            notes.append(f"to go on: {way_on}")
    elif start is not None:
        why = f"from the checkpoint {start}"
    elif (settings.fit or {}).get("ckpt_path") is None and (exp_dir / "last.ckpt").exists():
        notes.append(f"{exp_dir}/last.ckpt exists; fit.ckpt_path: auto would go on from it")
    changes = list(describe_changes(config, exp_dir / "training.yaml"))
    if state == "up to date" and changes:
        notes.append("what changed is not trained, because the run is finished:")
    criteria = read_criteria(settings.best_model_criterion)
    averages = [exp_dir / f"{metric_stem(c.monitor)}.ave.pth" for c in criteria]
    return StagePlan(
        state="up to date" if state == "up to date" else "would run",
        why=why,
        inputs=tuple(_training_inputs(config, settings)),
        outputs=(exp_dir / "training.yaml", exp_dir / "last.ckpt", *averages),
        notes=(*notes, *changes),
    )


def _read_outline(path: Path) -> Any:
    # Loaded when there is a checkpoint: it needs archives and pickles.
    from espnet3.utils.checkpoint_outline import read_outline

    return read_outline(path)


def _training_inputs(config: Any, settings: TrainingSettings) -> Iterator[Path]:
    dataset = to_plain(config.get("dataset"))
    found = [
        path
        for mode in ("train", "valid")
        for path in data_files({"dataset_config": dataset, "mode": mode})
    ]
    yield from dict.fromkeys(found)
    if settings.stats_dir is not None:
        yield settings.stats_dir
    if settings.init_from is not None:
        yield settings.init_from.path
