"""Whether a model really runs with the weights of a file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from espnet3.errors import WeightsError
from espnet3.utils.printable import printable
from espnet3.utils.weights_utils import WEIGHT_SUFFIXES, read_state_dict

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
_COMPARED = 8
"""Tensors whose values are compared; the smallest ones, because names tell most."""


def find_unloaded(model: Any, path: Path) -> str | None:
    """Compare a model with a weight file, where that can be done.

    ESPnet2 and others load weights without minding names that do not match, and then run with
    random ones. So at least one tensor of the file must be found in the model by its name (any
    prefix) and shape, and the values of such tensors must be those of the file.

    Args:
        model: Back end; its torch modules are found among its attributes.
        path: Weight file.

    Returns:
        Why the model does not run with these weights; ``None`` when nothing speaks against it.

    Raises:
        WeightsError: If the file is damaged.
    """
    modules = list(_modules_of(model)) if path.suffix in WEIGHT_SUFFIXES else []
    return _compare(path, modules) if modules else None


def _modules_of(model: Any) -> Iterator[nn.Module]:
    import torch

    candidates = [model, *vars(model).values()] if hasattr(model, "__dict__") else [model]
    for candidate in candidates:
        if isinstance(candidate, torch.nn.Module) and any(True for _ in candidate.parameters()):
            yield candidate


def _compare(path: Path, modules: list[nn.Module]) -> str | None:
    with _open(path) as (shapes, read):
        pairs = max((_pair(shapes, _tensors_of(module)) for module in modules), key=len)
        chosen: list[tuple[Tensor, Tensor]] = []
        for name in sorted(pairs, key=lambda name: pairs[name].numel()):
            tensor = read(name)
            # Zeros and ones are what untrained layers have, too.
            if len(chosen) < _COMPARED and (tensor != tensor.reshape(-1)[:1]).any():
                chosen.append((tensor, pairs[name]))
    if shapes and not pairs:
        return (
            f"{path}: none of its {len(shapes)} tensors is in the model, which would run with "
            "other weights\n  the configuration of the model does not fit its weights"
        )
    if chosen and not any(_is_equal(*pair) for pair in chosen):
        return (
            f"{path}: the model has tensors of these names, but with other values\n"
            "  its class did not load these weights"
        )
    logger.debug("%s: %d of %d tensors are in the model", printable(path), len(pairs), len(shapes))
    return None


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return what is learned; other tensors, such as statistics, may come from elsewhere."""
    return dict(module.named_parameters(remove_duplicate=False))


@contextlib.contextmanager
def _open(path: Path) -> Iterator[tuple[Shapes, Callable[[str], Tensor]]]:
    """Yield the shapes of the tensors in a file, and a function that reads one of them."""
    if path.suffix != ".safetensors":
        state = read_state_dict(path)
        yield {name: tuple(tensor.shape) for name, tensor in state.items()}, state.__getitem__
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as stored:
            names = stored.keys()
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in names}
            yield shapes, stored.get_tensor
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or not a weight file: {error}") from error


def _pair(shapes: Mapping[str, tuple[int, ...]], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Match names of a file with those of a module that differ by a prefix at most."""
    found = {}
    for name, shape in shapes.items():
        parts = name.split(".")
        for start in range(len(parts)):
            tensor = state.get(".".join(parts[start:]))
            if tensor is not None and tuple(tensor.shape) == shape:
                found[name] = tensor
                break
    if found:
        return found
    inner = {key.partition(".")[2]: tensor for key, tensor in state.items() if "." in key}
    return _pair(shapes, inner) if inner else {}


def _is_equal(stored: Tensor, loaded: Tensor) -> bool:
    import torch

    # A back end may have chosen another type or device.
    tolerance = 1e-6 if loaded.dtype in (torch.float32, torch.float64) else 1e-2
    return torch.allclose(
        stored.float(),
        loaded.detach().cpu().float(),
        rtol=tolerance,
        atol=tolerance,
        equal_nan=True,
    )
