"""How large a model a bundle may ask for."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from espnet3.errors import BundleError
from espnet3.utils.weight_files import WEIGHT_SUFFIXES

SPARE_BYTES = 256 * 2**20
"""For what is computed rather than stored, such as windows and filters."""
BYTES_PER_STORED_BYTE = 8
"""Weights may be stored in half precision, and exist twice while they are loaded."""
SPARE_STEPS = 20_000
"""Operations on tensors; a Conformer block is built with about 60."""
STORED_BYTES_PER_STEP = 1024


@contextlib.contextmanager
def limited_size(root: Path, is_exempt: Callable[[], bool]) -> Iterator[None]:
    """Stop construction inside the block before it allocates more than the weight files justify.

    Args:
        root: Folder of the bundle.
        is_exempt: Asked before an error is raised: whether to go on without a limit.

    Raises:
        BundleError: If tensors get too large or too many, or a number fits no tensor.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    stored = sum(p.stat().st_size for p in root.rglob("*") if _is_weights(p))
    most_steps = SPARE_STEPS + stored // STORED_BYTES_PER_STEP
    budget = SPARE_BYTES + BYTES_PER_STORED_BYTE * stored

    class Limit(TorchDispatchMode):  # type: ignore[no-untyped-call]
        spent = steps = 0

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # Nothing is compiled here, and importing the compiler takes seconds.
            return False

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.steps += 1
            if not (func.is_view or func._schema.is_mutable):
                self.spent += _result_bytes(func, args, kwargs or {})
            if (self.spent > budget or self.steps > most_steps) and not is_exempt():
                raise _refusal(root, f"weight files of {stored} bytes do not fill such a model")
            if func._schema.name.endswith("_") and getattr(args[0], "is_meta", False):
                return args[0]  # filling what has no memory, slowly
            return func(*args, **(kwargs or {}))

    try:
        with Limit():  # type: ignore[no-untyped-call]
            yield
    except (OverflowError, MemoryError) as error:
        raise _refusal(root, str(error)) from error
    except (RuntimeError, TypeError) as error:
        if "overflow" in str(error).lower():
            raise _refusal(root, str(error).partition("\n")[0]) from error
        raise


def _is_weights(path: Path) -> bool:
    return path.suffix in WEIGHT_SUFFIXES and path.is_file()


def _refusal(root: Path, reason: str) -> BundleError:
    return BundleError(
        f"{root}: its configs ask for a model that is far larger than the bundle: {reason}\n"
        "  compare sizes and numbers of layers in its configs, or pass trust_user_code=True"
    )


def _result_bytes(func: Any, args: Any, kwargs: Any) -> int:
    """Return how much memory an operation takes, at most, judged by its arguments."""
    import torch

    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    item = (given.get("dtype") or torch.float32).itemsize
    if "size" in given:
        return int(math.prod(given["size"]) * item)
    counts = [given[name] for name in ("steps", "window_length", "n", "m") if name in given]
    if counts:
        return int(math.prod(counts) * item)
    if "end" in given:
        span = given["end"] - given.get("start", 0)
        return int(abs(span / (given.get("step") or 1)) * item)
    tensors = [value for value in given.values() if isinstance(value, torch.Tensor)]
    try:
        shape: Any = torch.broadcast_shapes(*(t.shape for t in tensors))  # type: ignore[no-untyped-call]
    except RuntimeError:
        return sum(tensor.nbytes for tensor in tensors)
    return int(math.prod(shape)) * max((tensor.itemsize for tensor in tensors), default=0)
