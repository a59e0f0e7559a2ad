from __future__ import annotations

import threading
import time

import pytest

from espnet3.errors import StageError
from espnet3.utils import rank_gate as module
from espnet3.utils.device_utils import RANK_VARIABLES, launcher_world_size
from espnet3.utils.rank_gate import FollowerGate, LeaderGate, RankGate, rank_gate

STAGES = ["prepare", "train", "infer"]


@pytest.fixture(autouse=True)
def launcher(monkeypatch):
    """Two ranks of `torchrun`; this process is rank 0 until a test says otherwise."""
    for name in (*RANK_VARIABLES, *module._LAUNCH_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(module, "_POLL_SEC", 0.01)
    monkeypatch.setattr(module, "_LOCK_SEC", 0.2)


def make(tmp_path, stages=STAGES, timeout=5.0):
    return rank_gate(tmp_path, stages, ["train"], timeout)


def follow(tmp_path, timeout=5.0):
    return FollowerGate(tmp_path / module.FILE_NAME, timeout)


@pytest.mark.parametrize(
    "stages", [["train"], ["train", "infer"], ["prepare", "infer"], ["train", "train"]]
)
def test_nobody_waits_where_rank_0_does_nothing_before_a_shared_stage(tmp_path, stages):
    assert type(make(tmp_path, stages)) is RankGate
    assert list(tmp_path.iterdir()) == []


def test_a_process_alone_waits_for_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert type(make(tmp_path)) is RankGate


def test_roles_follow_the_rank(tmp_path, monkeypatch):
    with make(tmp_path) as leader:
        assert type(leader) is LeaderGate
    monkeypatch.setenv("RANK", "1")
    assert type(make(tmp_path)) is FollowerGate


def test_a_rank_waits_until_rank_0_enters_the_stage(tmp_path):
    order = []

    def wait():
        follow(tmp_path).enter("train")
        order.append("follower")

    thread = threading.Thread(target=wait)
    with make(tmp_path) as leader:
        thread.start()
        leader.enter("prepare")
        time.sleep(0.05)
        order.append("leader")
        leader.enter("train")
        thread.join()
    assert order == ["leader", "follower"]


def test_a_rank_that_comes_late_finds_the_stage_entered(tmp_path):
    with make(tmp_path) as leader:
        for stage in STAGES:
            leader.enter(stage)
        follow(tmp_path).enter("train")


def test_what_an_earlier_run_left_is_not_believed(tmp_path):
    with make(tmp_path) as leader:
        leader.enter("train")
    with pytest.raises(StageError, match="it never started"):
        follow(tmp_path, 0.05).enter("train")


def test_an_end_in_a_launch_with_a_name_is_believed_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(ValueError, match="x"), make(tmp_path) as leader:
        leader.enter("prepare")
        raise ValueError("x")
    with pytest.raises(StageError, match="rank 0 ended with ValueError before stage train"):
        follow(tmp_path).enter("train")
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    with pytest.raises(StageError, match="it never started"):
        follow(tmp_path, 0.05).enter("train")


def test_a_rank_gives_up_in_time_and_says_what_rank_0_did(tmp_path):
    with make(tmp_path) as leader:
        leader.enter("prepare")
        with pytest.raises(
            StageError, match=r"within 0\.05 s; its last stage was prepare"
        ) as caught:
            follow(tmp_path, 0.05).enter("train")
    assert "rank_timeout" in str(caught.value)


def test_two_runs_do_not_share_a_folder(tmp_path):
    with make(tmp_path), pytest.raises(StageError, match="another run of several ranks"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("environment", "size"),
    [
        ({"WORLD_SIZE": "4", "RANK": "1"}, 4),
        ({"WORLD_SIZE": "4"}, 1),
        ({"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "0"}, 3),
        ({"SLURM_PROCID": "0"}, 1),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, 2),
        ({"WORLD_SIZE": "many", "RANK": "0"}, 1),
        ({}, 1),
    ],
)
def test_the_launcher_says_how_many_processes_there_are(monkeypatch, environment, size):
    for name in ("WORLD_SIZE", "RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launcher_world_size() == size
