"""Stop between two batches, with everything saved: at a time limit or on a signal."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from espnet3.components.callbacks.last_checkpoint import LastCheckpoint
from espnet3.utils.stage_report import note_stop
from espnet3.utils.stop_signals import StageInterrupted, deferred_stop, received_signal
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)

_PERIOD = 5.0


class GracefulStop(Callback):
    """Save a resumable checkpoint and stop, after a given time or on SIGTERM or SIGUSR1.

    A time limit ends training in order, and the next stages run. A signal ends the program.

    Args:
        limit: Seconds; ``None`` waits for a signal only.
        last: Saves the state; ``None`` where checkpoints are switched off.
    """

    def __init__(self, limit: Seconds | None, last: LastCheckpoint | None) -> None:
        self.limit = limit
        self.last = last
        self._started = 0.0
        self._batches = 0
        self._next_look = 1
        self._is_alone = True
        self._deferral = contextlib.ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; from now on a signal waits for the end of a batch."""
        self._started = time.monotonic()
        self._is_alone = trainer.world_size == 1
        self._deferral.enter_context(deferred_stop())

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Look for a signal, and at the clock every few seconds.

        Rank 0 decides for all, and when to look again: ranks have to talk for it, which in every
        batch would stall an accelerator.

        Raises:
            StageInterrupted: On all ranks, if rank 0 has received a signal.
        """
        self._batches += 1
        if self._batches < self._next_look and not (self._is_alone and received_signal()):
            return
        seconds = time.monotonic() - self._started
        left = _PERIOD if self.limit is None else self.limit - seconds
        ahead = max(1, int(min(_PERIOD, left) * self._batches / max(seconds, 1e-9)))
        decision = (left <= 0, received_signal(), ahead)
        is_over, signal, ahead = trainer.strategy.broadcast(decision)
        self._next_look = self._batches + ahead
        if signal is None and (not is_over or trainer.should_stop):
            return
        if self.last is not None:
            self.last.save(trainer)
        if signal is not None:
            interruption = StageInterrupted(signal)
            logger.warning("training was %s; %s", interruption, self._way_on())
            raise interruption
        reason = f"trainer.time_limit reached after {self.limit:.0f} s"
        logger.warning("%s; %s", reason, self._way_on())
        note_stop(reason)
        trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let signals act at once again."""
        self._deferral.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Let signals act at once again."""
        self._deferral.close()

    def _way_on(self) -> str:
        if self.last is None:
            return "checkpoints are switched off, so nothing was saved"
        return "the same command with fit.ckpt_path: auto goes on"
