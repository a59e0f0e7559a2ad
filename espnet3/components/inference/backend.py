"""Choose the device and build the model that inference calls."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from omegaconf import DictConfig

from espnet3.components.inference.loaded_weights import find_unloaded
from espnet3.components.inference.records import load_output_fn
from espnet3.errors import (
    ConfigError,
    InferenceError,
    MissingConfigError,
    WeightsError,
    did_you_mean,
)
from espnet3.utils.config_utils import instantiate_config, to_plain
from espnet3.utils.import_utils import import_object, import_path_of_here
from espnet3.utils.path_utils import is_file
from espnet3.utils.printable import printable

logger = logging.getLogger(__name__)

_working_directory_lock = threading.RLock()


def resolve_device(config: Mapping[str, Any] | DictConfig) -> str:
    """Return the device of a model.

    The first that applies: ``config.device`` as it is; ``cpu`` without CUDA; ``cuda:<i>`` with the
    index from ``config.device_index``, ``config.local_rank`` or the environment variable
    ``LOCAL_RANK``; ``cuda:0``. An index counts the devices that this process sees.

    Raises:
        InferenceError: If the index is not that of a visible device.
    """
    device = config.get("device")
    if device not in (None, ""):
        return str(device)
    if not torch.cuda.is_available():
        if config.get("device_index") not in (None, ""):
            logger.warning(
                "device_index = %s has no effect: there is no GPU that CUDA can use, so the model "
                "runs on the CPU",
                config["device_index"],
            )
        return "cpu"
    sources = {
        "device_index": config.get("device_index"),
        "local_rank": config.get("local_rank"),
        "the environment variable LOCAL_RANK": os.environ.get("LOCAL_RANK"),
    }
    for name, value in sources.items():
        if value not in (None, ""):
            return f"cuda:{_visible_index(value, name)}"
    return "cuda:0"


def _visible_index(value: Any, name: str) -> int:
    try:
        index = int(value)
    except ValueError as error:
        raise ConfigError("is not the index of a device", key=name, value=value) from error
    count = torch.cuda.device_count()
    if not 0 <= index < count:
        raise InferenceError(
            f"{name} asks for CUDA device {index}, but this process sees {count} device(s)"
        )
    return index


def check_device(device: str) -> None:
    """Raise unless this machine has a device.

    Args:
        device: Name as torch knows it, for example ``cuda:1``.

    Raises:
        ConfigError: If it has none of this name.
    """
    kind, _, index = device.partition(":")
    count = torch.cuda.device_count()
    if kind == "cuda":
        is_there = count > (int(index) if index.isdigit() else 0)
    else:
        is_there = _takes_tensors(device)
    if not is_there:
        near = None if kind == "cuda" else did_you_mean(device, ("cpu", "cuda"))
        hint = f"this process sees {count} CUDA device(s); cpu always works"
        raise ConfigError(
            "is not a device of this machine", key="device", value=device, hint=near or hint
        )


def _takes_tensors(device: str) -> bool:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        return False
    return True


def build_model(config: Mapping[str, Any] | DictConfig) -> Any:
    """Build ``config.model`` on its device, in evaluation mode.

    The target receives ``device=`` if its signature takes it; otherwise a ``torch.nn.Module`` is
    moved. A ``device`` inside ``config.model`` counts when ``config.device`` is not set. With
    ``config.recipe_dir``, relative paths inside files that the model reads start there.

    Args:
        config: Inference configuration: ``model``, and optionally ``recipe_dir``, ``device``,
            ``device_index``, ``local_rank``.

    Raises:
        MissingConfigError: If ``config.model`` is not set.
        UntrustedTargetError: If the active policy refuses a target.
        ConfigError: If the device does not exist.
        InferenceError: If the index of a device does not.
        WeightsError: If a class of ESPnet2 did not load its weights.
    """
    model_config = to_plain(config.get("model"))
    if not isinstance(model_config, dict) or "_target_" not in model_config:
        raise MissingConfigError("must be set to a mapping with `_target_`", key="model")
    device = str(model_config.get("device") or "") if not config.get("device") else ""
    device = device or resolve_device(config)
    logger.info(
        "Building model: target=%s device=%s CUDA_VISIBLE_DEVICES=%s gpus=%d",
        printable(model_config["_target_"]),
        printable(device),
        os.environ.get("CUDA_VISIBLE_DEVICES", "unset"),
        torch.cuda.device_count(),
    )
    with _recipe_directory(config.get("recipe_dir"), model_config) as located:
        model = _instantiate(located, device)
        _check_weights(model, located)
        if located is not model_config:
            _make_file_attributes_absolute(model)
    if isinstance(model, torch.nn.Module):
        model.eval()
    return model


def _instantiate(model_config: dict[str, Any], device: str) -> Any:
    target = import_object(model_config["_target_"], key="model._target_")
    if device.partition(":")[0] == "cuda":  # Some models would take one that is absent in silence.
        check_device(device)
    if _takes_device(target):
        return instantiate_config(model_config, key="model", device=device)
    arguments = {k: v for k, v in model_config.items() if k != "device"}
    model = instantiate_config(arguments, key="model")
    return model.to(device) if isinstance(model, torch.nn.Module) else model


def _check_weights(model: Any, model_config: Mapping[str, Any]) -> None:
    """Notice what ESPnet2 says nothing about: names in the file that are not those of the model."""
    if not str(model_config["_target_"]).startswith("espnet2."):
        return
    for name, value in model_config.items():
        if name.endswith("model_file") and isinstance(value, str | Path):
            reason = find_unloaded(model, Path(value))
            if reason is not None:
                raise WeightsError(
                    f"model.{name}: {reason}\n  name a checkpoint that was trained with the same"
                    " `task`, or the averaged weights (<metric>.ave.pth)"
                )


def _takes_device(target: Any) -> bool:
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return True
    return "device" in parameters or any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
    )


@contextlib.contextmanager
def _recipe_directory(recipe_dir: Any, model_config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Work in ``recipe_dir``; yield the configuration with its own paths made absolute."""
    root = Path(str(recipe_dir or ".")).resolve()
    if root == Path.cwd() or not root.is_dir():
        yield model_config
        return
    located = _locate(model_config, root)
    # The working directory belongs to the whole process: one builder at a time.
    with _working_directory_lock, import_path_of_here(), contextlib.chdir(root):
        yield located


def _locate(node: Any, root: Path) -> Any:
    """Make existing paths absolute: those below ``root`` first, then those from here."""
    if isinstance(node, dict):
        return {k: v if k == "_target_" else _locate(v, root) for k, v in node.items()}
    if isinstance(node, list):
        return [_locate(item, root) for item in node]
    if isinstance(node, str) and not Path(node).is_absolute():
        for path in (root / node, Path.cwd() / node):
            # A word such as "src" may be the name of a folder by accident.
            if is_file(path) or ("/" in node and path.is_dir()):
                return str(path)
    return node


def _make_file_attributes_absolute(owner: Any, depth: int = 3) -> None:
    """Keep files that the model, or a tokenizer in it, opens later reachable from anywhere."""
    for name, value in list(vars(owner).items()) if hasattr(owner, "__dict__") else []:
        if isinstance(value, str | Path) and is_file(Path(value)):
            setattr(owner, name, type(value)(Path(value).absolute()))
        elif depth and not isinstance(value, torch.nn.Module | type | ModuleType):
            _make_file_attributes_absolute(value, depth - 1)


__all__ = ["build_model", "load_output_fn", "resolve_device"]
