"""Find the checkpoint from which an interrupted run goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from espnet3.components.trainers.settings import TrainerSettings
from espnet3.errors import UnsafeCheckpointError, WeightsError

logger = logging.getLogger(__name__)


class ResumePoint(NamedTuple):
    """A full checkpoint and how far the run had come."""

    path: Path
    epochs: int
    """Completed epochs."""
    steps: int
    """Optimizer steps."""
    stopped_early: bool = False
    """Whether an ``EarlyStopping`` ended the last of these epochs."""

    def way_on(self, trainer: TrainerSettings) -> str | None:
        """Say what must change before there is anything left to do; ``None`` if there is."""
        limits = trainer.lightning
        for name, done in (("max_epochs", self.epochs), ("max_steps", self.steps)):
            limit = limits.get(name)
            if limit is not None and 0 <= limit <= done:
                return f"raise trainer.{name}"
        is_past_minimum = self.epochs >= (limits.get("min_epochs") or 0)
        if self.stopped_early and is_past_minimum and _has_early_stopping(trainer):
            return "it was stopped early; remove EarlyStopping from trainer.callbacks"
        return None


def find_resume_point(exp_dir: Path) -> ResumePoint | None:
    """Return the newest readable full checkpoint; damaged ones are named in the log and skipped."""
    from espnet3.components.callbacks.last_checkpoint import full_checkpoints

    if not exp_dir.is_dir():
        return None
    candidates = full_checkpoints(exp_dir)
    last = exp_dir / "last.ckpt"
    if last.is_file() and last.resolve() not in [path.resolve() for path in candidates]:
        candidates.append(last)
    for path in candidates:
        point = _read_point(path)
        if point is not None:
            return point
    return None


def _read_point(path: Path) -> ResumePoint | None:
    from espnet3.utils.weights_utils import read_checkpoint

    try:
        content = read_checkpoint(path)
    except (WeightsError, UnsafeCheckpointError) as error:
        logger.warning("Skipped a checkpoint that cannot be read: %s", error)
        return None
    if not isinstance(content, Mapping) or not {"loops", "optimizer_states"} <= content.keys():
        return None
    progress: Any = content["loops"]["fit_loop"]["epoch_progress"]["current"]
    epochs = int(progress["processed"])
    return ResumePoint(path, epochs, int(content["global_step"]), _stopped_early(content, epochs))


def _stopped_early(content: Mapping[str, Any], epochs: int) -> bool:
    states = content.get("callbacks", {}).items()
    return any(
        state.get("stopping_reason_message") and state["stopped_epoch"] == epochs - 1
        for name, state in states
        if str(name).startswith("EarlyStopping")
    )


def _has_early_stopping(trainer: TrainerSettings) -> bool:
    targets = [c.get("_target_") for c in trainer.callbacks or () if isinstance(c, Mapping)]
    return any(str(target).endswith("EarlyStopping") for target in targets)
