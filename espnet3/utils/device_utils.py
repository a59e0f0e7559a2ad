"""Which process of a distributed run this is."""

from __future__ import annotations

import os
import sys

RANK_VARIABLES: tuple[str, ...] = (
    "RANK",
    "LOCAL_RANK",
    "SLURM_PROCID",
    "OMPI_COMM_WORLD_RANK",
    "PMI_RANK",
    "MPI_RANK",
)
"""Environment variables that launchers set, in the order in which they are believed."""


def process_rank() -> int:
    """Return the rank of this process, 0 when it runs alone.

    The process group is asked first, but torch is never imported for it; then the first variable
    of :data:`RANK_VARIABLES` that holds a non-negative integer.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    for name in RANK_VARIABLES:
        value = os.environ.get(name, "")
        if value.isascii() and value.isdigit():
            return int(value)
    return 0
