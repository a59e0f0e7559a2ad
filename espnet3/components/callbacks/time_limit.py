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

_PERIOD = 5.0


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
        self._batches = 0
        self._next_look = 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Look at the clock every few seconds; rank 0 decides for all, and when to look again.

        Ranks have to talk for it, which in every batch would stall an accelerator.
        """
        self._batches += 1
        if self._batches < self._next_look:
            return
        seconds = time.monotonic() - self._started
        pause = min(_PERIOD, self.limit - seconds)
        ahead = max(1, int(pause * self._batches / max(seconds, 1e-9)))
        is_over, ahead = trainer.strategy.broadcast((seconds >= self.limit, ahead))
        self._next_look = self._batches + ahead
        if not is_over or trainer.should_stop:
            return
        logger.warning(
            "time_limit reached after %.0f s; the same command with fit.ckpt_path: auto goes on",
            self.limit,
        )
        if self.last is not None:
            self.last.save(trainer)
        trainer.should_stop = True
