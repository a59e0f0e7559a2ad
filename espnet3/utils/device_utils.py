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


WORLD_SIZE_VARIABLES: tuple[tuple[str, str], ...] = (
    ("WORLD_SIZE", "RANK"),
    ("WORLD_SIZE", "LOCAL_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
)
"""Variables that hold the number of processes, each with the one that must accompany it."""


def process_rank() -> int:
    """Return the rank of this process, 0 when it runs alone.

    The process group is asked first, but torch is never imported for it; then the first variable
    of :data:`RANK_VARIABLES` that holds a non-negative integer.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    ranks = (_read_count(name) for name in RANK_VARIABLES)
    return next((rank for rank in ranks if rank is not None), 0)


def launcher_world_size() -> int:
    """Return how many processes a launcher started together with this one, 1 without a launcher.

    Launchers that start a process per rank from the very beginning (``torchrun``, ``srun``,
    ``mpirun``) say so in the environment.
    """
    for name, companion in WORLD_SIZE_VARIABLES:
        count = _read_count(name)
        if count is not None and _read_count(companion) is not None:
            return max(count, 1)
    return 1


def _read_count(name: str) -> int | None:
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else None
