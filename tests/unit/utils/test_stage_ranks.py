from __future__ import annotations

import os

import pytest
import torch.distributed

from espnet3.utils.stage_ranks import RUNNING_STAGE_VARIABLE, published_stage


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def launch() -> None:
    """Leave behind what Lightning leaves when it starts other ranks."""
    os.environ |= {"LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": "1"}
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)


def test_ranks_that_a_stage_started_are_forgotten_after_it():
    before = dict(os.environ)
    with published_stage(None, "train"):
        assert os.environ[RUNNING_STAGE_VARIABLE] == "train"
        launch()
    assert dict(os.environ) == before
    assert not torch.distributed.is_initialized()


def test_ranks_of_an_outer_launcher_stay(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    with published_stage(None, "train"):
        launch()
    assert torch.distributed.is_initialized()
    assert os.environ["LOCAL_RANK"] == "0"
