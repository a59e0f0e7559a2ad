"""The shapes in which a model may return its loss."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from espnet3.errors import ModelOutputError, SettingError
from espnet3.utils.config_utils import instantiate_config

_EXPECTED = (
    "a model returns `loss, stats, weight`: a scalar tensor, a dict of scalars and the number of"
    " items in the batch (or None)"
)
_USE_CRITERION = (
    "to train on raw outputs, configure `criterion: {_target_: …}`; it is called as"
    " criterion(output, batch) and returns a loss"
)

Criterion = Callable[[Any, Mapping[str, Any]], Any]


class StatsTypeError(ModelOutputError, AssertionError):
    """The second item that a model returned is not a dict."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelOutput:
    """What one batch gave."""

    loss: Tensor
    """Scalar to minimise, shape ``()``."""
    stats: Mapping[str, Any]
    """Values to log, by name."""
    weight: Any = None
    """Number of items in the batch: its weight in epoch means. ``None`` if the model is silent."""


def build_criterion(node: Mapping[str, Any] | None) -> Criterion | None:
    """Build what makes a loss of a model's output, if anything is configured.

    Raises:
        SettingError: If it has parameters.
    """
    if node is None:
        return None
    criterion: Criterion = instantiate_config(node, key="criterion")
    if isinstance(criterion, nn.Module) and any(True for _ in criterion.parameters()):
        raise SettingError(
            "has parameters of its own, which would be neither trained nor saved",
            key="criterion",
            hint="make it a part of the model",
        )
    return criterion


def read_output(
    output: Any, batch: Mapping[str, Any], criterion: Criterion | None = None
) -> ModelOutput:
    """Bring the return value of a model into one form.

    Accepted are the triple ``loss, stats, weight``, a mapping or an object with ``loss``, and a
    scalar tensor; with ``criterion`` anything that it understands.

    Args:
        output: What the model returned.
        batch: What the model was given.
        criterion: Called as ``criterion(output, batch)``; its result is read instead.

    Raises:
        ModelOutputError: If there is no loss in it.
        StatsTypeError: If ``stats`` is not a dict.
    """
    if criterion is not None:
        output = criterion(output, batch)
    if isinstance(output, tuple) and len(output) == 3 and not hasattr(output, "loss"):
        loss, stats, weight = output
    elif isinstance(output, Tensor):
        loss, stats, weight = output, {"loss": output}, None
    else:
        loss, stats, weight = _read_fields(output)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise ModelOutputError(f"the loss is {_describe(loss)}\n  {_EXPECTED}\n  {_USE_CRITERION}")
    if not isinstance(stats, Mapping):
        raise StatsTypeError(
            f"Model output `stats` must be a dict, it is {_describe(stats)}\n  {_EXPECTED}"
        )
    return ModelOutput(loss if loss.ndim == 0 else loss.reshape(()), stats, weight)


def _read_fields(output: Any) -> tuple[Any, Any, Any]:
    if isinstance(output, Mapping) and "loss" in output:
        fields = dict(output)
    elif getattr(output, "loss", None) is not None:
        fields = _attributes(output)
    else:
        raise ModelOutputError(
            f"the model returned {_describe(output)}, which has no loss\n"
            f"  {_EXPECTED}\n  {_USE_CRITERION}"
        )
    scalars = {k: v for k, v in fields.items() if k not in ("stats", "weight") and is_scalar(v)}
    return fields["loss"], fields.get("stats", scalars), fields.get("weight")


def _attributes(output: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(output):
        return {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    if hasattr(output, "_asdict"):
        return dict(output._asdict())
    return {**vars(output), "loss": output.loss}


def is_scalar(value: Any) -> bool:
    """Tell whether a value can be logged as one number."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex()
    return isinstance(value, numbers.Real) and not isinstance(value, torch.SymInt)


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)} items"
    return f"of type {type(value).__name__}"
