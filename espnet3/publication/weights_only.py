"""Keep ``torch.load``, whoever calls it, from running code in a weight file."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

from espnet3.errors import UnsafeCheckpointError

_environment_lock = threading.RLock()


@contextlib.contextmanager
def tensors_only(root: Path) -> Iterator[None]:
    """Make ``torch.load`` refuse everything but tensors and plain containers inside the block.

    The setting wins over what third-party code passes to ``torch.load``. It lives in the
    environment of the process, so one bundle is built at a time.

    Raises:
        UnsafeCheckpointError: If the block fails because a file holds something else.
    """
    forced, lifted = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    with _environment_lock:
        before = {name: os.environ.get(name) for name in (forced, lifted)}
        os.environ[forced] = "1"
        os.environ.pop(lifted, None)
        try:
            yield
        except Exception as error:
            if _was_unpickling(error):
                raise UnsafeCheckpointError(
                    f"{root}: a checkpoint holds more than tensors ({error})\n"
                    "  ask its author to pack it again, or pass trust_user_code=True"
                ) from error
            raise
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def _was_unpickling(error: BaseException | None) -> bool:
    # An error that was raised again may stand in its own chain.
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, pickle.UnpicklingError):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False
