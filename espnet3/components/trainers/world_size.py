"""How many processes take part in a training."""

from __future__ import annotations

import os

import lightning
import torch.distributed
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from espnet3.errors import ParallelError, SettingError
from espnet3.utils.stage_ranks import lonely_stage


def check_world_size(trainer: lightning.Trainer) -> None:
    """Refuse to train in another number of processes than the configuration asks for.

    Otherwise each of them would take itself for the only one and write into the same ``exp_dir``,
    or all would wait for one that never comes.

    Raises:
        SettingError: If a launcher started another number of processes than devices x nodes.
        ParallelError: If the other processes do not take part in the running stage.
    """
    stage = lonely_stage()
    if stage is not None:
        raise ParallelError(
            f"stage {stage} trains, but runs on rank 0 only: the other ranks skip it\n"
            "  add it to DISTRIBUTED_STAGES of your system, or start one process"
        )
    configured = trainer.num_devices * trainer.num_nodes
    started = _started_processes()
    if started not in (None, configured):
        raise SettingError(
            f"asks for {trainer.num_devices} device(s) on {trainer.num_nodes} node(s), that is"
            f" {configured} process(es), but the world size is {started}",
            key="trainer.devices",
            hint="set num_device and num_nodes (trainer.devices, trainer.num_nodes) to what the"
            " launcher starts",
        )


def _started_processes() -> int | None:
    """Return the world size that exists already; ``None`` if Lightning starts what is missing."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return int(torch.distributed.get_world_size())
    if "WORLD_SIZE" in os.environ and ("RANK" in os.environ or "LOCAL_RANK" in os.environ):
        return int(os.environ["WORLD_SIZE"])
    if SLURMEnvironment.detect() and "SLURM_STEP_NUM_TASKS" in os.environ:
        return int(os.environ["SLURM_STEP_NUM_TASKS"])
    return None
