"""In which mode a model is called: without gradients, in which precision, compiled or not."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from espnet3.components.inference.settings import ExecutionSettings
from espnet3.errors import ConfigError

logger = logging.getLogger(__name__)


class ModelMode:
    """The state in which a model is called.

    Args:
        model: Anything that can be called.
        settings: ``precision``, ``inference_mode`` and ``compile`` are read.

    Raises:
        ConfigError: If the device cannot compute in the precision.
    """

    def __init__(self, model: Any, settings: ExecutionSettings) -> None:
        self.place = find_place(model)
        """The device, with its index if it has one."""
        self.device = self.place.partition(":")[0]
        """Name of the device, without its index."""
        self._autocast = _autocast_dtype(settings.precision, self.device)
        self._is_inference = settings.inference_mode
        self._compiled: list[Any] = []
        if settings.compile:
            options = {"dynamic": True}
            options |= settings.compile if isinstance(settings.compile, dict) else {}
            self._compiled = _compile_modules(model, options)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Be in that state inside the block; entering it once for many calls is cheaper."""
        torch = sys.modules.get("torch")
        with contextlib.ExitStack() as stack:
            if torch is not None and self._is_inference:
                stack.enter_context(torch.inference_mode())
            if torch is not None and self._autocast is not None:
                stack.enter_context(torch.autocast(self.device, self._autocast))
            yield

    def gives_up_compiling(self, error: BaseException) -> bool:
        """Go back to uncompiled modules if an error says that they cannot be compiled.

        Returns:
            Whether the call is worth another try.
        """
        if not self._compiled or not _is_compile_error(error):
            return False
        reason = str(error).strip().split("\n", 1)[0]
        logger.warning("The model runs uncompiled, because compiling it failed: %s", reason)
        for module in self._compiled:
            module._compiled_call_impl = None
        self._compiled = []
        return True


def find_device(model: Any) -> str:
    """Return the type of device that a model is on."""
    return find_place(model).partition(":")[0]


def find_place(model: Any) -> str:
    """Return the device that a model is on: its ``device``, or that of its weights."""
    torch = sys.modules.get("torch")
    device = getattr(model, "device", None)
    if device is None and torch is not None and isinstance(model, torch.nn.Module):
        device = next((parameter.device for parameter in model.parameters()), None)
    return str(device or "cpu")


def _autocast_dtype(precision: str, device: str) -> Any:
    if precision == "fp32":
        return None
    import torch

    if precision == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("this device cannot do it", key="execution.precision", value=precision)
    return torch.bfloat16 if precision == "bf16" else torch.float16


def _compile_modules(model: Any, options: Mapping[str, Any]) -> list[Any]:
    """Compile the model, or the modules that are its attributes; calls do it when they come."""
    import torch

    parts = (
        [model] if isinstance(model, torch.nn.Module) else getattr(model, "__dict__", {}).values()
    )
    modules = [part for part in parts if isinstance(part, torch.nn.Module)]
    if not modules:
        logger.warning("execution.compile: the model has no torch module as an attribute")
    for module in modules:
        module.compile(**options)
    return modules


def _is_compile_error(error: BaseException | None) -> bool:
    dynamo = sys.modules.get("torch._dynamo.exc")
    while error is not None and dynamo is not None:
        if isinstance(error, dynamo.TorchDynamoException):
            return True
        error = error.__cause__
    return False
