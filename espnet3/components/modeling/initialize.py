"""Initialise the weights of a model by the name of a method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor, nn

from espnet3.errors import ConfigError, did_you_mean
from espnet3.utils.slot_schema import InitMethod

_FILLERS: dict[str, Callable[[Tensor], object]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": lambda t: nn.init.kaiming_uniform_(t, nonlinearity="relu"),
    "kaiming_normal": lambda t: nn.init.kaiming_normal_(t, nonlinearity="relu"),
    "normal": lambda t: nn.init.normal_(t, mean=0.0, std=0.02),
}
METHODS: tuple[str, ...] = get_args(InitMethod)


def initialize(model: nn.Module, method: str) -> None:
    """Initialise a model in place; frozen parameters keep their values.

    All methods but ``chainer`` fill parameters of two or more dimensions, set biases to zero,
    and leave embeddings and normalisation layers to their own ``reset_parameters``. ``chainer``
    draws weights from a normal distribution with variance 1/fan-in, embeddings from N(0, 1), and
    opens the forget gates of recurrent layers. Modules with ``espnet_initialization_fn()`` then
    have their say, and those with ``reload_pretrained_parameters()`` restore what they loaded.

    Args:
        model: The bare model.
        method: One of :data:`METHODS`.

    Raises:
        ConfigError: If the method is unknown.
    """
    if method not in METHODS:
        raise ConfigError(
            f"unknown initialisation; choose one of {', '.join(METHODS)}",
            key="init",
            value=method,
            hint=did_you_mean(method, METHODS),
        )
    with torch.no_grad():
        if method == "chainer":
            _fill_like_chainer(model)
        else:
            _fill(model, _FILLERS[method])
    for hook in ("espnet_initialization_fn", "reload_pretrained_parameters"):
        for module in model.modules():
            if callable(getattr(module, hook, None)):
                getattr(module, hook)()


def _fill(model: nn.Module, filler: Callable[[Tensor], object]) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim >= 2:
            filler(parameter)
        elif parameter.ndim == 1 and ".bias" in f".{name}":
            parameter.zero_()
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.LayerNorm | nn.GroupNorm) and _is_trained(module):
            module.reset_parameters()


def _fill_like_chainer(model: nn.Module) -> None:
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or "Norm" in type(module).__name__:
                continue
            if "bias" in name:
                parameter.zero_()
            elif isinstance(module, nn.Embedding):
                parameter.normal_(0.0, 1.0)
            elif parameter.ndim:
                parameter.normal_(0.0, 1.0 / math.sqrt(_fan_in(parameter)))
        if isinstance(module, nn.LSTM | nn.LSTMCell):
            _open_forget_gates(module)


def _fan_in(parameter: Tensor) -> int:
    if parameter.ndim == 1:
        return max(1, parameter.shape[0])
    return max(1, parameter[0].numel())


def _open_forget_gates(module: nn.Module) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        # Gates lie in the order input, forget, cell, output.
        if name.startswith("bias_ih") and parameter.requires_grad:
            quarter = parameter.shape[0] // 4
            parameter[quarter : 2 * quarter] = 1.0


def _is_trained(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return bool(own) and all(p.requires_grad for p in own)
