"""The best weights by a metric."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from espnet3.components.callbacks.checkpoint_files import metric_stem
from espnet3.components.callbacks.monitor_check import need_metric
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)


class BestCheckpoint(ModelCheckpoint):
    """Keep the weights of the best validations by one metric.

    Args:
        dirpath: Folder of ``epoch<E>_step<N>_<metric>.ckpt``; ``/`` in the metric becomes ``.``.
        monitor: Metric to compare.
        top_k: Number of files to keep.
        mode: ``min`` or ``max``.
    """

    def __init__(self, dirpath: PathLike, monitor: str, top_k: int, mode: str) -> None:
        super().__init__(
            dirpath=Path(dirpath),
            monitor=monitor,
            mode=mode,
            save_top_k=top_k,
            save_weights_only=True,
            save_on_train_epoch_end=False,
            filename="epoch{epoch}_step{step}_" + metric_stem(monitor),
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if this validation is among the best.

        Raises:
            ConfigError: If the metric was not logged.
        """
        if not trainer.sanity_checking:
            need_metric(str(self.monitor), trainer.callback_metrics, "best_model_criterion")
        super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the list of best files without those that are gone.

        A run may be killed after a better file took the place of one, but before the list of
        files was saved; and users delete files.
        """
        super().load_state_dict(state_dict)
        gone = [path for path in self.best_k_models if not Path(path).exists()]
        if gone:
            logger.warning("No longer among the best checkpoints, the file is gone: %s", gone)
            self.best_k_models = {k: v for k, v in self.best_k_models.items() if k not in gone}
