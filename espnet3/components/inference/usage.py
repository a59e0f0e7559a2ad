"""What a process that decodes runs on, and how much of it it takes."""

from __future__ import annotations

import functools
import platform
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class ProcessState:
    """What a process that decodes says about itself."""

    device: str
    """Such as ``cuda:0``."""
    device_name: str
    """Such as ``NVIDIA H100 80GB HBM3``."""
    peak_memory: int
    """Most main memory that it took, in bytes."""
    peak_device_memory: int | None
    """Most memory of the GPU that its tensors took, in bytes."""
    max_cost: float | None
    """Limit of batches that it has learnt from a lack of memory."""

    @classmethod
    def of(cls, device: str, max_cost: float | None) -> ProcessState:
        """Return what is true of this process now."""
        return cls(
            device=device,
            device_name=device_name(device),
            peak_memory=peak_memory(),
            peak_device_memory=peak_device_memory(device),
            max_cost=max_cost,
        )


@functools.cache
def device_name(device: str) -> str:
    """Return the name of a device as its maker calls it, such as ``NVIDIA H100 80GB HBM3``.

    Args:
        device: ``cpu``, ``cuda:0`` or another device of torch, which is returned as it is.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return _cpu_name() if device == "cpu" else device


def _cpu_name() -> str:
    lines = _CPU_INFO.read_text(encoding="utf-8").splitlines() if _CPU_INFO.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def peak_memory() -> int:
    """Return the most main memory that this process has ever taken, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_device_memory(device: str) -> int | None:
    """Return the most memory of a CUDA device that tensors of this process took, in bytes.

    ``None`` for other devices.
    """
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.max_memory_allocated(device))
