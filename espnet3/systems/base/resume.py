"""Find the checkpoint from which an interrupted run goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from espnet3.components.callbacks.checkpoint_files import full_checkpoints
from espnet3.components.trainers.settings import TrainerSettings
from espnet3.errors import ConfigError, UnsafeCheckpointError, WeightsError
from espnet3.systems.base.settings import TrainingSettings

logger = logging.getLogger(__name__)

CheckpointReader = Callable[[Path], Any]


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


def find_start(
    settings: TrainingSettings, read: CheckpointReader | None = None
) -> ResumePoint | Path | None:
    """Return where training starts: what ``fit.ckpt_path`` means now.

    Args:
        settings: Settings of the training.
        read: Reads a checkpoint; by default with torch, safely.

    Returns:
        For ``auto`` the point at which an earlier run stopped; the path of a checkpoint that is
        named; ``None`` for a start from scratch.

    Raises:
        ConfigError: If the named checkpoint does not exist.
    """
    given = (settings.fit or {}).get("ckpt_path")
    if given is None:
        return None
    if given == "auto":
        return find_resume_point(settings.exp_dir, read)
    if not Path(given).exists():
        raise ConfigError("no such checkpoint", key="fit.ckpt_path", value=given)
    return Path(given)


def find_resume_point(exp_dir: Path, read: CheckpointReader | None = None) -> ResumePoint | None:
    """Return the newest readable full checkpoint; damaged ones are named in the log and skipped."""
    if not exp_dir.is_dir():
        return None
    candidates = full_checkpoints(exp_dir)
    last = exp_dir / "last.ckpt"
    if last.is_file() and last.resolve() not in [path.resolve() for path in candidates]:
        candidates.append(last)
    for path in candidates:
        point = _read_point(path, read or _read_with_torch)
        if point is not None:
            return point
    return None


def _read_with_torch(path: Path) -> Any:
    from espnet3.utils.weights_utils import read_checkpoint

    return read_checkpoint(path)


def _read_point(path: Path, read: CheckpointReader) -> ResumePoint | None:
    try:
        content = read(path)
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
