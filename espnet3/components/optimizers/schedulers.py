"""Learning-rate schedules with a warm-up, stepped once per optimizer update."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from espnet3.components.optimizers.settings import (
    LinearWarmupCosineLRSettings,
    WarmupLRSettings,
    WarmupStableDecayLRSettings,
)


class _WarmupSchedule(LRScheduler):
    """Keep the shape of the schedule out of checkpoints, so that a resumed run may prolong it."""

    _SHAPE = ("warmup_steps", "decay_start", "max_steps", "min_lr")

    def state_dict(self) -> dict[str, Any]:
        """Return how far the schedule has come; its shape comes from the configuration."""
        return {k: v for k, v in super().state_dict().items() if k not in self._SHAPE}


class WarmupLR(_WarmupSchedule):
    """Rise to the base rate, then fall with the inverse square root of the update number.

    ``base_lr * w**0.5 * min(t**-0.5, t * w**-1.5)`` for update ``t`` (counted from 1) and
    ``w = warmup_steps``: the schedule of "Attention is all you need" (Vaswani et al., 2017),
    scaled so that its peak, at ``t = w``, is the configured rate.

    Args:
        optimizer: Optimizer whose groups are scheduled.
        warmup_steps: Updates until the peak.
        last_epoch: Updates done before; -1 for a fresh run.

    Raises:
        SettingError: If ``warmup_steps`` is below 1.
    """

    def __init__(
        self, optimizer: Optimizer, warmup_steps: float = 25000, last_epoch: int = -1
    ) -> None:
        WarmupLRSettings(warmup_steps=warmup_steps)
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each parameter group for the coming update."""
        update = self.last_epoch + 1
        factor = self.warmup_steps**0.5 * min(update**-0.5, update * self.warmup_steps**-1.5)
        return [base * factor for base in self.base_lrs]


class LinearWarmupCosineLR(_WarmupSchedule):
    """Rise linearly to the base rate, then follow half a cosine down to ``min_lr``.

    Args:
        optimizer: Optimizer whose groups are scheduled.
        warmup_steps: Updates until the peak; 0 starts at the peak.
        max_steps: Update at which ``min_lr`` is reached; later updates stay there.
        min_lr: Final learning rate.
        last_epoch: Updates done before; -1 for a fresh run.

    Raises:
        SettingError: If the steps are not in order.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        max_steps: int,
        min_lr: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        LinearWarmupCosineLRSettings(warmup_steps=warmup_steps, max_steps=max_steps, min_lr=min_lr)
        self.warmup_steps = warmup_steps
        self.max_steps = max_steps
        self.min_lr = min_lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each parameter group for the coming update."""
        update = self.last_epoch + 1
        if update <= self.warmup_steps:
            return [base * update / self.warmup_steps for base in self.base_lrs]
        done = min(1.0, (update - self.warmup_steps) / (self.max_steps - self.warmup_steps))
        weight = 0.5 * (1.0 + math.cos(math.pi * done))
        return [self.min_lr + (base - self.min_lr) * weight for base in self.base_lrs]


class WarmupStableDecayLR(_WarmupSchedule):
    """Rise linearly, stay at the base rate, then fall linearly to ``min_lr``.

    The plateau has no planned end: a run can be prolonged from any checkpoint of it by moving
    ``decay_start`` and ``max_steps`` ("MiniCPM", Hu et al., 2024).

    Args:
        optimizer: Optimizer whose groups are scheduled.
        warmup_steps: Updates until the plateau; 0 starts on it.
        decay_start: Last update of the plateau.
        max_steps: Update at which ``min_lr`` is reached; later updates stay there.
        min_lr: Final learning rate.
        last_epoch: Updates done before; -1 for a fresh run.

    Raises:
        SettingError: If the steps are not in order.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        decay_start: int,
        max_steps: int,
        min_lr: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        WarmupStableDecayLRSettings(
            warmup_steps=warmup_steps, decay_start=decay_start, max_steps=max_steps, min_lr=min_lr
        )
        self.warmup_steps = warmup_steps
        self.decay_start = decay_start
        self.max_steps = max_steps
        self.min_lr = min_lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each parameter group for the coming update."""
        update = self.last_epoch + 1
        if update <= self.warmup_steps:
            return [base * update / self.warmup_steps for base in self.base_lrs]
        done = (update - self.decay_start) / (self.max_steps - self.decay_start)
        done = min(1.0, max(0.0, done))
        return [base + (self.min_lr - base) * done for base in self.base_lrs]
