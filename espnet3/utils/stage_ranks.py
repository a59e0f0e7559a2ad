"""Which ranks of a distributed run execute a stage."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from espnet3.errors import SettingError
from espnet3.utils.device_utils import launcher_world_size, process_rank
from espnet3.utils.log_reference import lookup
from espnet3.utils.rank_gate import RankGate, rank_gate
from espnet3.utils.stage_logs import distributed_stages, log_dir_of

RUNNING_STAGE_VARIABLE = "ESPNET3_RUNNING_STAGE"
"""Names the running stage to the processes that a multi-device launcher starts for it."""


# Set in this process by Lightning when it starts the other ranks.
_LAUNCHER_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")

_lonely_stage: ContextVar[str | None] = ContextVar("espnet3_lonely_stage", default=None)


@contextlib.contextmanager
def published_stage(system: Any, stage: str) -> Iterator[None]:
    """Tell processes that are started inside the block which stage they belong to.

    They end with that stage. So afterwards this process forgets them, and a later stage may start
    ranks of its own.
    """
    names = (RUNNING_STAGE_VARIABLE, *_LAUNCHER_VARIABLES)
    before = {name: os.environ.get(name) for name in names}
    is_alone = is_launched() and stage not in distributed_stages(system)
    token = _lonely_stage.set(stage if is_alone else None)
    os.environ[RUNNING_STAGE_VARIABLE] = stage
    try:
        yield
        if before["LOCAL_RANK"] is None and "LOCAL_RANK" in os.environ:
            _leave_process_group()
    finally:
        _lonely_stage.reset(token)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def lonely_stage() -> str | None:
    """Return the running stage if the other ranks of a launcher skip it, else ``None``."""
    return _lonely_stage.get()


def is_launched() -> bool:
    """Tell whether a launcher started all ranks together, each with the whole list of stages."""
    return RUNNING_STAGE_VARIABLE not in os.environ and launcher_world_size() > 1


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


def gate_of(system: Any, stages_to_run: Sequence[str]) -> RankGate:
    """Return what makes the ranks of a launcher wait for rank 0, where there is one.

    The ranks meet in the log folder of the first stage that all of them execute.
    """
    if not is_launched():
        return RankGate()
    distributed = distributed_stages(system)
    shared = next((stage for stage in stages_to_run if stage in distributed), None)
    folder = None if shared is None else log_dir_of(system, shared)
    timeout = lookup(system, "training_config.rank_timeout")
    return rank_gate(folder, stages_to_run, distributed, timeout)


def check_launched_ranks(system: Any, stages_to_run: Sequence[str]) -> None:
    """Compare the number of ranks that a launcher started with the devices, before any stage runs.

    Raises:
        SettingError: If ``train`` is going to ask for another number.
    """
    if "train" not in stages_to_run or not is_launched():
        return
    started = launcher_world_size()
    devices = lookup(system, "training_config.trainer.devices")
    nodes = lookup(system, "training_config.trainer.num_nodes") or 1
    if type(devices) is not int or type(nodes) is not int or devices < 1:
        return  # "auto" and the like are Lightning's to count
    if devices * nodes != started:
        raise SettingError(
            f"asks for {devices} device(s) on {nodes} node(s), that is {devices * nodes}"
            f" process(es), but the launcher started {started}",
            key="training_config.trainer.devices",
            hint=f"--set training.num_device={started}, or start as many processes as devices",
        )
