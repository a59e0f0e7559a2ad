"""Which metrics a training configuration names, and what can be known of them before the run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from espnet3.errors import ConfigError, did_you_mean
from espnet3.systems.base.model_files import configured_criteria
from espnet3.utils.key_accounting import Finding
from espnet3.utils.run_checks import RunRequest

_MODES = ("train", "valid")
_OF_LIGHTNING = re.compile(r"epoch|step|lr-.*")
"""Metrics that Lightning itself keeps."""


def iter_monitored(run: RunRequest) -> Iterator[tuple[str, str]]:
    """Yield dotted key and metric; nothing where code of the user may log metrics of its own."""
    callbacks = [c for c in run.get("training.trainer.callbacks") or [] if isinstance(c, Mapping)]
    if run.get("training.lightning_module") or not all(map(_is_of_lightning, callbacks)):
        return
    for index, criterion in enumerate(configured_criteria(run)):
        yield f"training.best_model_criterion[{index}]", criterion.monitor
    monitor = run.get("training.scheduler_monitor")
    if isinstance(monitor, str):
        yield "training.scheduler_monitor", monitor
    for index, callback in enumerate(callbacks):
        monitor = callback.get("monitor")
        if isinstance(monitor, str) and not _OF_LIGHTNING.fullmatch(monitor):
            yield f"training.trainer.callbacks[{index}].monitor", monitor


def check_modes(run: RunRequest) -> Iterator[Finding]:
    """Check that each metric is one of training or of validation."""
    for key, name in iter_monitored(run):
        if name.partition("/")[0] not in _MODES or "/" not in name:
            hint = did_you_mean(name, ["valid/loss", "train/loss"]) or "for example valid/loss"
            message = "nothing logs this metric: names begin with train/ or valid/"
            yield run.finding(key, ConfigError(message, value=name, hint=hint))


def check_names(run: RunRequest, stats: tuple[str, ...]) -> Iterator[Finding]:
    """Check metrics of a model that reports nothing but ``stats``."""
    for key, monitored in iter_monitored(run):
        mode, slash, name = monitored.partition("/")
        if slash and mode in _MODES and name not in stats:
            known = [f"{mode}/{stat}" for stat in stats]
            hint = did_you_mean(monitored, known) or "it logs: " + ", ".join(known)
            error = ConfigError("the model logs no such metric", value=monitored, hint=hint)
            yield run.finding(key, error)


def _is_of_lightning(callback: Mapping[str, object]) -> bool:
    return str(callback.get("_target_")).startswith(("lightning.", "pytorch_lightning."))
