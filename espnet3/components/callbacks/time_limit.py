"""Stop in time for a batch system that would kill us."""

from __future__ import annotations

import logging
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from espnet3.components.callbacks.last_checkpoint import LastCheckpoint
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)


class TimeLimit(Callback):
    """Save a resumable checkpoint and stop once training has run for a given time.

    Args:
        limit: Seconds.
        last: Saves the state; ``None`` where checkpoints are switched off.
    """

    def __init__(self, limit: Seconds, last: LastCheckpoint | None) -> None:
        self.limit = limit
        self.last = last
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Look at the clock; rank 0 decides for all."""
        is_over = time.monotonic() - self._started >= self.limit
        if not trainer.strategy.broadcast(is_over) or trainer.should_stop:
            return
        logger.warning(
            "time_limit reached after %.0f s; the same command with fit.ckpt_path: auto goes on",
            self.limit,
        )
        if self.last is not None:
            self.last.save(trainer)
        trainer.should_stop = True
