"""A progress bar per epoch; the console handler writes log lines above it."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

_SECONDS = 1.0


class EpochProgressBar(TQDMProgressBar):
    """Show one bar per epoch, on terminals only; log lines appear above it.

    Args:
        refresh_rate: Batches between two updates; after a second the bar moves in any case.
    """

    def __init__(self, refresh_rate: int = 1) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=True)
        self._updated = 0.0

    @property
    def is_disabled(self) -> bool:
        """Whether nothing is shown: switched off, or the output is not a terminal."""
        return super().is_disabled or not sys.stdout.isatty()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the losses and what the best checkpoints are chosen by; the log has the rest."""
        chosen = {getattr(callback, "monitor", None) for callback in trainer.checkpoint_callbacks}
        found = super().get_metrics(trainer, pl_module)
        return {k: v for k, v in found.items() if k in chosen or k.endswith("/loss")}

    def _should_update(self, current: int, total: int) -> bool:
        now = time.monotonic()
        if super()._should_update(current, total) or (
            self.is_enabled and now - self._updated > _SECONDS
        ):
            self._updated = now
            return True
        return False
