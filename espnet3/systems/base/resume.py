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

    def is_end_of(self, trainer: TrainerSettings) -> bool:
        """Tell whether a run with these settings has nothing left to do."""
        max_epochs = trainer.lightning.get("max_epochs")
        max_steps = trainer.lightning.get("max_steps", -1)
        if max_steps is not None and 0 <= max_steps <= self.steps:
            return True
        return max_epochs is not None and 0 <= max_epochs <= self.epochs


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
    return ResumePoint(path, int(progress["processed"]), int(content["global_step"]))
