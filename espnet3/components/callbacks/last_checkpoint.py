"""The full checkpoint from which an interrupted run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from espnet3.components.callbacks.checkpoint_files import full_checkpoints
from espnet3.components.callbacks.relative_link import point_to
from espnet3.utils.types import PathLike


class LastCheckpoint(ModelCheckpoint):
    """Save the whole state after each training epoch; ``last.ckpt`` points to the newest.

    Args:
        dirpath: Folder of ``step<N>.ckpt`` and ``last.ckpt``.
        keep: Number of full checkpoints to keep.
        every_n_steps: Save inside the epoch too, every so many optimizer steps.
    """

    def __init__(self, dirpath: PathLike, keep: int = 1, every_n_steps: int | None = None) -> None:
        super().__init__(
            dirpath=Path(dirpath),
            monitor=None,
            filename="step{step}",
            auto_insert_metric_name=False,
            save_last="link",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.keep = keep
        self.every_n_steps = every_n_steps
        self._saved_step = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the state from which the run starts: it need not be saved again."""
        self._saved_step = trainer.global_step
        if trainer.fit_loop.restarted_on_epoch_end:
            # Lightning passes through the end of the restored epoch again and counts it twice,
            # which would end the run an epoch early and skip an epoch of the data's order.
            progress: Any = trainer.fit_loop.epoch_progress
            progress.current.processed -= 1
            progress.total.processed -= 1

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Save inside the epoch, if asked for; not where an accumulation is unfinished."""
        step = trainer.global_step
        if self.every_n_steps and step % self.every_n_steps == 0 and step != self._saved_step:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after the epoch, unless it was cut short and its state is already on disk.

        A second save would count the epoch as done, and a resumed run would skip its rest.
        """
        is_complete = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        is_trial = bool(getattr(trainer, "fast_dev_run", False))
        if is_trial or (not is_complete and trainer.global_step == self._saved_step):
            return
        self.save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing: the state after validation is saved with the epoch."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing: the last epoch is already saved."""

    def save(self, trainer: Trainer) -> None:
        """Save the state now; called on all ranks."""
        folder = Path(str(self.dirpath))
        path = folder / f"step{trainer.global_step}.ckpt"
        self.best_model_path = str(path)
        trainer.save_checkpoint(path)
        self._saved_step = trainer.global_step
        if trainer.is_global_zero:
            point_to(folder / "last.ckpt", path)
            for old in full_checkpoints(folder)[self.keep :]:
                old.unlink(missing_ok=True)
