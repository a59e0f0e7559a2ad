"""Spare a training step the hooks of callbacks that have nothing to do in it."""

from __future__ import annotations

from collections.abc import Iterable

from lightning.pytorch.callbacks import Callback

_STEP_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_validation_batch_start",
    "on_validation_batch_end",
)


def hide_idle_hooks(callbacks: Iterable[Callback]) -> None:
    """Replace inherited, empty step hooks by ``None``, which Lightning passes over.

    For each other hook of each callback it enters a profiling context, in every step; with our
    default callbacks that is a tenth of the step of a tiny model.
    """
    for callback in callbacks:
        for name in _STEP_HOOKS:
            if getattr(type(callback), name) is getattr(Callback, name):
                setattr(callback, name, None)
