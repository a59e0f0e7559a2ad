"""Readable lines about metrics, times and learning rates."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import Tensor

from espnet3.components.callbacks.batch_timer import TIME_KEYS, BatchTimer
from espnet3.components.callbacks.metrics_history import MetricsHistory
from espnet3.components.callbacks.running_means import RunningMeans
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)


class MetricsLogger(Callback):
    """Log means over windows of batches and over epochs.

    Values stay on their device until a line is due.

    Args:
        log_every_n_steps: Batches per line; 0 or less logs epochs only.
        history_path: JSON-lines file that gets the same numbers; rank 0 only.
    """

    def __init__(
        self, log_every_n_steps: int = 500, *, history_path: PathLike | None = None
    ) -> None:
        self.log_every_n_steps = log_every_n_steps
        self._history = None if history_path is None else MetricsHistory(history_path)
        self._timer = BatchTimer()
        self._means = RunningMeans()
        self._seen: dict[str, Any] = {}
        self._validation_began = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Drop history that a resumed run is going to repeat."""
        if self._history is not None and trainer.is_global_zero:
            self._history.rewind(trainer.global_step)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin an epoch."""
        self._means = RunningMeans()
        self._timer.begin_epoch()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        """Note that a batch has arrived."""
        self._timer.begin_batch()

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Note that the forward pass is done."""
        self._timer.end_forward()

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        """Note that the backward pass is done."""
        self._timer.end_backward()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Note that the update begins."""
        self._timer.begin_update()

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Note that the update, if one was under way, is done."""
        self._timer.end_update()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the values of the batch; log at the end of a window."""
        values: dict[str, Any] = dict(self._timer.end_batch())
        values.update(self._metrics_of_batch(trainer, pl_module))
        values.update(_learning_rates(trainer))
        self._means.add(values)
        every = self.log_every_n_steps
        if every > 0 and (batch_idx + 1) % every == 0:
            first = batch_idx + 2 - self._means.batches
            means = self._means.close_window()
            logger.info(
                "%depoch:train:%d-%dbatch: %s",
                trainer.current_epoch + 1,
                first,
                batch_idx + 1,
                _format(means),
            )

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the means over the epoch."""
        means = self._means.close_epoch()
        self._timer.begin_epoch()
        if means:
            epoch = trainer.current_epoch + 1
            logger.info("epoch_summary:%depoch:train: %s", epoch, _format(means))
            self._record(trainer, "train", means)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Keep the pause out of the wait for training data."""
        self._timer.begin_epoch()

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock of validation."""
        self._validation_began = time.perf_counter()

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the metrics of the validation."""
        if trainer.sanity_checking:
            return
        values = {"valid_time": time.perf_counter() - self._validation_began}
        for name, value in sorted(trainer.callback_metrics.items()):
            number = _as_number(value)
            if number is not None and _belongs(name, "valid"):
                values[name.removeprefix("valid/")] = number
        epoch = trainer.current_epoch + 1
        logger.info("epoch_summary:%depoch:valid: %s", epoch, _join(values))
        self._record(trainer, "valid", values)

    def _metrics_of_batch(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        """Return what was logged in this batch, never values that an earlier one left behind."""
        fresh = getattr(pl_module, "step_metrics", None)
        if not isinstance(fresh, dict):
            found = dict(trainer.callback_metrics)
            fresh = {
                name: value
                for name, value in found.items()
                if not isinstance(value, Tensor) or self._seen.get(name) is not value
            }
            self._seen = found
        return {
            name.removeprefix("train/"): value
            for name, value in fresh.items()
            if _belongs(name, "train") and _is_number(value)
        }

    def _record(self, trainer: Any, split: str, values: Mapping[str, float]) -> None:
        if self._history is not None and trainer.is_global_zero:
            self._history.append(
                epoch=trainer.current_epoch, step=trainer.global_step, split=split, values=values
            )


def _belongs(name: str, split: str) -> bool:
    other = "valid/" if split == "train" else "train/"
    # The learning-rate monitor adds "lr-…" names; rates have a place of their own.
    return not name.startswith((other, "lr-")) and name not in ("epoch", "step")


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex()
    return isinstance(value, int | float)


def _as_number(value: Any) -> float | None:
    return float(value) if _is_number(value) else None


def _learning_rates(trainer: Any) -> dict[str, float]:
    return {
        f"optim{i}_lr{g}": group["lr"]
        for i, optimizer in enumerate(trainer.optimizers)
        for g, group in enumerate(optimizer.param_groups)
    }


def _format(means: Mapping[str, float]) -> str:
    """Order: times, metrics by name, learning rates."""
    rates = [name for name in means if name.startswith("optim") and "_lr" in name]
    times = [name for name in TIME_KEYS if name in means]
    metrics = sorted(name for name in means if name not in (*times, *rates))
    return _join({name: means[name] for name in (*times, *metrics, *rates)})


def _join(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:.6g}" for name, value in values.items())
