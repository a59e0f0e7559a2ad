"""Keep a process on the processor cores next to its GPU."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from espnet3.components.inference.model_mode import find_device

logger = logging.getLogger(__name__)

_PCI_DEVICES = Path("/sys/bus/pci/devices")


def pin_to_device(model: Any) -> None:
    """Keep this thread, and those that it starts, on the cores next to the GPU of a model.

    Nothing happens without a GPU, or where the operating system does not tell which cores these
    are.
    """
    torch = sys.modules.get("torch")
    if torch is None or find_device(model) != "cuda":
        return
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    address = f"{gpu.pci_domain_id:04x}:{gpu.pci_bus_id:02x}:{gpu.pci_device_id:02x}.0"
    cores = near_cores(_PCI_DEVICES / address) & os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
        logger.info("Pinned to the %d cores next to the GPU at %s", len(cores), address)


def near_cores(folder: Path) -> set[int]:
    """Return the cores next to a PCI device, an empty set if its folder does not tell."""
    try:
        text = (folder / "local_cpulist").read_text(encoding="ascii").strip()
    except OSError:
        return set()
    cores: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cores.update(range(int(first), int(last or first) + 1))
    return cores
