"""Random numbers that depend on the sample only."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator


def set_seed(seed: int, index: int) -> None:
    """Start the random numbers of one sample, which then depend on nothing else."""
    value = (seed * 0x9E3779B1 + index * 0x85EBCA6B + 1) & 0xFFFFFFFF
    random.seed(value)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(value)
    if torch is not None:
        # Without a GPU, torch.manual_seed records a traceback, which takes a millisecond.
        torch.default_generator.manual_seed(value)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(value)


@contextlib.contextmanager
def preserve_random_state() -> Iterator[None]:
    """Leave the random numbers of this process as they were before the block."""
    state = random.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    torch_state = torch.get_rng_state() if torch is not None else None
    try:
        yield
    finally:
        random.setstate(state)
        if numpy is not None and numpy_state is not None:
            numpy.random.set_state(numpy_state)
        if torch is not None and torch_state is not None:
            torch.set_rng_state(torch_state)
