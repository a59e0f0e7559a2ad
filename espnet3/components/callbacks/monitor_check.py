"""Stop a run at its first validation when a metric that something follows does not exist."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from espnet3.errors import ConfigError, did_you_mean


def need_metric(name: str, found: Collection[str], key: str) -> None:
    """Check that a metric was logged.

    Raises:
        ConfigError: Otherwise; names the metrics that exist.
    """
    if name not in found:
        names = sorted(known for known in found if "/" in known)
        raise ConfigError(
            f"no such metric was logged; there are: {', '.join(names) or 'none'}",
            key=key,
            value=name,
            hint=did_you_mean(name, names),
        )


class MonitorCheck(Callback):
    """Check what the user's callbacks and the schedule follow, before they look for it.

    Metrics of validation are looked for after the first validation, others after the first epoch
    with one.

    Args:
        callbacks: Callbacks of the configuration, in order.
    """

    def __init__(self, callbacks: Collection[Callback]) -> None:
        self._callbacks = list(callbacks)
        self._has_validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the metrics of validation."""
        if not trainer.sanity_checking:
            self._has_validated = True
            for key, name in self._monitored(trainer):
                if name.startswith("valid/"):
                    need_metric(name, trainer.callback_metrics, key)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check all metrics."""
        if self._has_validated:
            for key, name in self._monitored(trainer):
                need_metric(name, trainer.callback_metrics, key)

    def _monitored(self, trainer: Trainer) -> Iterator[tuple[str, str]]:
        for index, callback in enumerate(self._callbacks):
            monitor = getattr(callback, "monitor", None)
            is_needed = getattr(callback, "strict", True)
            # What a checkpoint finds under these names is not a metric.
            if isinstance(monitor, str) and is_needed and monitor not in ("epoch", "step"):
                yield f"trainer.callbacks[{index}].monitor", monitor
        for entry in trainer.lr_scheduler_configs:
            if entry.reduce_on_plateau and entry.strict and entry.monitor is not None:
                yield "scheduler_monitor", entry.monitor
