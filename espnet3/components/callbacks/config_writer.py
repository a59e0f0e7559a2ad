"""Leave the configuration of a run beside its weights, once they are its own."""

from __future__ import annotations

from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from espnet3.utils.path_utils import write_text
from espnet3.utils.types import PathLike


class ConfigWriter(Callback):
    """Write the configuration when training begins, after a checkpoint was restored; rank 0 only.

    A run that cannot start so leaves the file as it was: it describes the weights that exist.

    Args:
        path: ``training.yaml``.
        text: Its content.
    """

    def __init__(self, path: PathLike, text: str) -> None:
        self.path = Path(path)
        self.text = text

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file."""
        if trainer.is_global_zero:
            write_text(self.path, self.text)
