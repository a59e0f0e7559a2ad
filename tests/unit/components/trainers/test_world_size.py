from __future__ import annotations

import lightning
import pytest

from espnet3.components.trainers.world_size import check_world_size
from espnet3.errors import SettingError

TORCHRUN = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
SRUN = {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NAME": "train"}


def make_trainer(devices: int) -> lightning.Trainer:
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return lightning.Trainer(accelerator="cpu", devices=devices, **options)


@pytest.fixture
def trainers():
    """One trainer per number of devices, made before a launcher is in the environment."""
    return {count: make_trainer(count) for count in (1, 2)}


@pytest.mark.parametrize("environment", [TORCHRUN, SRUN])
def test_number_of_processes_must_be_devices_times_nodes(trainers, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check_world_size(trainers[2])
    with pytest.raises(SettingError, match="the world size is 2"):
        check_world_size(trainers[1])


@pytest.mark.parametrize(
    "environment", [{}, {"WORLD_SIZE": "1"}, {**SRUN, "SLURM_JOB_NAME": "bash"}]
)
def test_without_a_launcher_lightning_starts_what_is_missing(trainers, monkeypatch, environment):
    for name in (*TORCHRUN, *SRUN):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for trainer in trainers.values():
        check_world_size(trainer)
