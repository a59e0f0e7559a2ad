"""Which ranks of a distributed run execute a stage."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from espnet3.utils.device_utils import process_rank

RUNNING_STAGE_VARIABLE = "ESPNET3_RUNNING_STAGE"
"""Names the running stage to the processes that a multi-device launcher starts for it."""


# Set in this process by Lightning when it starts the other ranks.
_LAUNCHER_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")


@contextlib.contextmanager
def published_stage(stage: str) -> Iterator[None]:
    """Tell processes that are started inside the block which stage they belong to.

    They end with that stage. So afterwards this process forgets them, and a later stage may start
    ranks of its own.
    """
    names = (RUNNING_STAGE_VARIABLE, *_LAUNCHER_VARIABLES)
    before = {name: os.environ.get(name) for name in names}
    os.environ[RUNNING_STAGE_VARIABLE] = stage
    try:
        yield
        if before["LOCAL_RANK"] is None and "LOCAL_RANK" in os.environ:
            _leave_process_group()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _leave_process_group() -> None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def runs_on_this_rank(system: Any, stage: str, log: logging.Logger) -> bool:
    """Tell whether this process executes a stage.

    Rank 0 executes all. A launcher that starts ``run.py`` again for the other ranks hands them
    the running stage, and they execute exactly that one; without that word they execute the
    stages that the system declares as ``DISTRIBUTED_STAGES``.
    """
    rank = process_rank()
    if rank == 0:
        return True
    running = os.environ.get(RUNNING_STAGE_VARIABLE)
    mine = stage == running if running else stage in distributed_stages(system)
    if not mine:
        log.info("rank %d does not run stage %s; rank 0 does", rank, stage)
    return mine


def distributed_stages(system: Any) -> Sequence[str]:
    """Return the stages that all ranks execute."""
    stages: Sequence[str] = getattr(system, "DISTRIBUTED_STAGES", ("train",))
    return stages
