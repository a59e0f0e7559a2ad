"""The callbacks that every training run gets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback, LearningRateMonitor

from espnet3.components.callbacks.average_checkpoints import AverageCheckpointsCallback
from espnet3.components.callbacks.best_checkpoint import BestCheckpoint
from espnet3.components.callbacks.last_checkpoint import LastCheckpoint
from espnet3.components.callbacks.metrics_logger import MetricsLogger
from espnet3.components.callbacks.progress_bar import EpochProgressBar
from espnet3.components.callbacks.settings import read_criteria
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)


def get_default_callbacks(
    exp_dir: PathLike = "./exp",
    log_interval: int = 500,
    best_model_criterion: Any = (("valid/loss", 3, "min"),),
    *,
    keep_last: int = 1,
    save_every_n_steps: int | None = None,
) -> list[Callback]:
    """Return checkpoints, their average, learning-rate monitor, metrics log and progress bar.

    Args:
        exp_dir: Folder for checkpoints and ``metrics.jsonl``.
        log_interval: Batches between two lines of the log and two updates of the progress bar.
        best_model_criterion: ``(metric, number to keep, "min" or "max")`` per kind of best
            checkpoint, or mappings with ``monitor``, ``top_k`` and ``mode``.
        keep_last: Number of full, resumable checkpoints to keep.
        save_every_n_steps: Save a resumable checkpoint inside the epoch too.

    Returns:
        In this order: the resumable checkpoint, one best checkpoint per criterion, the average of
        those, the learning-rate monitor, the metrics log, the progress bar.

    Raises:
        ConfigError: If a criterion has another form.
    """
    best = [
        BestCheckpoint(exp_dir, criterion.monitor, criterion.top_k, criterion.mode)
        for criterion in read_criteria(best_model_criterion)
    ]
    return [
        LastCheckpoint(exp_dir, keep=keep_last, every_n_steps=save_every_n_steps),
        *best,
        AverageCheckpointsCallback(output_dir=exp_dir, best_ckpt_callbacks=best),
        LearningRateMonitor(),
        MetricsLogger(log_interval, history_path=Path(exp_dir) / "metrics.jsonl"),
        EpochProgressBar(refresh_rate=log_interval),
    ]


__all__ = ["AverageCheckpointsCallback", "MetricsLogger", "get_default_callbacks"]
