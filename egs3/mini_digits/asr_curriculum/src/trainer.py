"""How a phase begins."""

from __future__ import annotations

import logging
from typing import Any

from espnet3.components.trainers.trainer import ESPnet3LightningTrainer

logger = logging.getLogger(__name__)


class PhaseTrainer(ESPnet3LightningTrainer):
    """Validate the weights that a phase starts from, so that its gain can be read off the log."""

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train; arguments go to ``lightning.Trainer.fit``."""
        if "ckpt_path" not in kwargs:  # a run that goes on has been here before
            (scores,) = self.validate(verbose=False)
            logger.info("The phase starts from valid/loss %.3f", scores["valid/loss"])
        super().fit(*args, **kwargs)
