"""Which ranks of a distributed run execute a stage."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from espnet3.utils.device_utils import process_rank

RUNNING_STAGE_VARIABLE = "ESPNET3_RUNNING_STAGE"
"""Names the running stage to the processes that a multi-device launcher starts for it."""


@contextlib.contextmanager
def published_stage(stage: str) -> Iterator[None]:
    """Tell processes that are started inside the block which stage they belong to."""
    before = os.environ.get(RUNNING_STAGE_VARIABLE)
    os.environ[RUNNING_STAGE_VARIABLE] = stage
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(RUNNING_STAGE_VARIABLE, None)
        else:
            os.environ[RUNNING_STAGE_VARIABLE] = before


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
