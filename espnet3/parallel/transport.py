"""What travels between driver and workers must survive pickling."""

from __future__ import annotations

from typing import Any

from espnet3.errors import ParallelError


def pack(value: Any, name: str) -> bytes:
    """Return a value as bytes; functions and classes of scripts and notebooks travel whole.

    Args:
        value: Anything.
        name: What it is, for the message.

    Raises:
        ParallelError: If it cannot be pickled.
    """
    import cloudpickle

    try:
        packed: bytes = cloudpickle.dumps(value)
    except Exception as error:  # the value's own code runs
        raise ParallelError(
            f"{name} cannot travel to a worker process: {error}\n"
            "  build such objects in `setup_fn` or in the setup function of the provider, move the "
            "code into a module, or set `n_workers: 1`, with which nothing travels"
        ) from error
    return packed
