"""How many samples fit into the memory of a device, found by trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from espnet3.components.inference.batching import is_out_of_memory, release_memory

_USED_PART = 0.8


class Memory(Protocol):
    """The memory of a device."""

    def free(self) -> int:
        """Return the bytes that a call may take."""

    def peak(self, call: Callable[[], object]) -> int:
        """Return the bytes that a call takes beyond what was there before."""


class CudaMemory:
    """The memory of the current CUDA device."""

    def free(self) -> int:
        """Return what no process uses, and what this one has in reserve."""
        import torch

        in_reserve = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + in_reserve

    def peak(self, call: Callable[[], object]) -> int:
        """Make the call and return the bytes that it takes."""
        import torch

        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return int(torch.cuda.max_memory_allocated()) - before


def memory_of(device: str) -> Memory | None:
    """Return the memory of a type of device, ``None`` where it cannot be measured."""
    return CudaMemory() if device == "cuda" else None


def find_capacity(call: Callable[[int], object], memory: Memory, *, most: int) -> int:
    """Return how many samples can go into one call without filling the memory.

    The size is doubled while twice of what the last call took would fit into four fifths of the
    free memory; what is left then is filled by rule of three.

    Args:
        call: Makes a call with so many samples.
        memory: Memory of the device.
        most: Largest number to return.

    Raises:
        Exception: What ``call`` raises, other than a lack of memory for two samples or more.
    """
    budget, size, fits = _USED_PART * memory.free(), 1, 1
    while size <= most:
        try:
            peak = memory.peak(lambda size=size: call(size))  # type: ignore[misc]
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            break
        fits = size
        if 2 * peak > budget:
            fits = max(1, int(size * min(budget / max(peak, 1), 2.0)))
            break
        size *= 2
    release_memory()
    return min(fits, most)
