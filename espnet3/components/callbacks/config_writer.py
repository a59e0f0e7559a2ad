"""Leave the configuration of a run beside its weights, once they are its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from espnet3.utils.path_utils import write_text


class ConfigWriter(Callback):
    """Write the configuration when training begins, after a checkpoint was restored; rank 0 only.

    A run that cannot start so leaves the files as they were: they describe the weights that exist.

    Args:
        texts: Content by path: ``training.yaml``, and what other tools read.
    """

    def __init__(self, texts: Mapping[Path, str]) -> None:
        self.texts = dict(texts)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files."""
        if trainer.is_global_zero:
            for path, text in self.texts.items():
                write_text(path, text)
