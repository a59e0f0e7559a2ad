"""What of a model's output is logged: scalars that stay on their device."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from espnet3.components.modeling.model_output import ModelOutput, is_scalar

logger = logging.getLogger(__name__)


class LoggedValues:
    """Reads the outputs of a model; warns once of each value that is no number."""

    def __init__(self) -> None:
        self._unloggable: set[str] = set()

    def of(
        self, mode: str, output: ModelOutput, bad: Tensor | None
    ) -> tuple[dict[str, Tensor], Any]:
        """Return what to log of one batch, and its weight in means.

        Args:
            mode: Stands before each name, as in ``train/loss``.
            output: What the batch gave.
            bad: Flag on the device, shape (), that takes the batch out of means.

        Returns:
            Detached values by name, shape () each, and the weight; null if the model gives none.
        """
        values, weight = self._values(mode, output), output.weight
        if isinstance(weight, Tensor) and weight.device.type == "cpu":
            weight = weight.item()
        if bad is not None:
            values = {k: torch.where(bad, torch.zeros_like(v), v) for k, v in values.items()}
            weight = weight if weight is None else torch.where(bad, 0.0, weight)
        return values, weight

    def _values(self, mode: str, output: ModelOutput) -> dict[str, Tensor]:
        device = output.loss.device
        values = {}
        for name, value in output.stats.items():
            if isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point():
                values[f"{mode}/{name}"] = value.detach()
            elif value is None:
                continue
            elif not is_scalar(value):
                self._warn(name, value)
            elif isinstance(value, Tensor):
                values[f"{mode}/{name}"] = value.detach().reshape(()).float()
            else:
                # A fill on the device does not wait for it, a copy from the host would.
                values[f"{mode}/{name}"] = torch.full((), float(value), device=device)
        return values

    def _warn(self, name: str, value: Any) -> None:
        if name not in self._unloggable:
            self._unloggable.add(name)
            logger.warning(
                "stats[%r] is not logged: it must be one number, it is of type %s",
                name,
                type(value).__name__,
            )
