"""Training that a signal, a time limit or another training stops, through `run_stages`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import lightning
import pytest
import torch

from espnet3.errors import StageError
from espnet3.systems.base import training
from espnet3.systems.base.training import train
from espnet3.utils.lock_utils import file_lock
from espnet3.utils.stages_utils import run_stages
from espnet3.utils.stop_signals import StageInterrupted
from espnet3.utils.weights_utils import read_state_dict
from tests.unit.components.toy_training import toy_config

REPO_ROOT = Path(__file__).resolve().parents[4]


class Kills(lightning.Callback):
    """Ask the process to end in the middle of the third batch."""

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == 2 and trainer.current_epoch == 0:
            os.kill(os.getpid(), signal.SIGTERM)


class Recipe:
    """Four batches in each of two epochs, with a loader that goes on exactly."""

    def __init__(self, exp_dir: Path, **trainer) -> None:
        self.stage_log_dirs = {"default": exp_dir}
        loaders = {}
        for mode, count in (("train", 8), ("valid", 4)):
            shapes = exp_dir.parent / f"{mode}_shape"
            shapes.write_text("".join(f"{index} 4\n" for index in range(count)))
            loaders[mode] = {"loader": "native", "shape_file": str(shapes), "max_batch_size": 2}
        self.training_config = toy_config(
            exp_dir, dataloader=loaders, fit={"ckpt_path": "auto"}, init="xavier_uniform"
        )
        self.training_config["trainer"] |= trainer

    def train(self):
        train(self.training_config)


KILLS = [{"_target_": f"{__name__}.Kills"}]


def report(exp_dir: Path) -> dict:
    return json.loads((exp_dir / "train.run.json").read_text())


@pytest.fixture(autouse=True)
def module_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(REPO_ROOT))


def test_a_signal_lets_the_batch_end_saves_and_the_same_command_goes_on(tmp_path, caplog):
    with pytest.raises(StageInterrupted) as caught:
        run_stages(Recipe(tmp_path / "killed", callbacks=KILLS), ["train"])
    assert caught.value.code == 143
    killed = tmp_path / "killed"
    assert (killed / "last.ckpt").readlink() == Path("step3.ckpt")
    assert report(killed)["status"] == "interrupted"
    assert report(killed)["exception"]["message"] == "ended by SIGTERM"
    assert "training was ended by SIGTERM; the same command" in caplog.text

    run_stages(Recipe(killed), ["train"])
    run_stages(Recipe(tmp_path / "whole"), ["train"])
    assert report(killed)["status"] == "done"
    assert json.loads((killed / "train1.run.json").read_text())["status"] == "interrupted"
    resumed, whole = (
        read_state_dict(tmp_path / name / "step8.ckpt") for name in ("killed", "whole")
    )
    torch.testing.assert_close(resumed, whole)


def test_a_time_limit_shows_in_table_and_report(tmp_path, caplog):
    caplog.set_level("INFO")
    run_stages(Recipe(tmp_path / "exp", time_limit="00:00:00"), ["train"])
    assert report(tmp_path / "exp")["status"] == "stopped"
    assert report(tmp_path / "exp")["reason"] == "trainer.time_limit reached after 0 s"
    table = caplog.records[-1].getMessage().splitlines()
    assert table[2].split()[:2] == ["train", "stopped"]
    assert table[3].strip() == "trainer.time_limit reached after 0 s"
    assert "=== [STOPPED] stage: train" in caplog.text


def test_two_trainings_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_LOCK_SEC", 0.1)
    recipe = Recipe(tmp_path / "exp")
    with (
        file_lock(tmp_path / "exp" / ".train.lock"),
        pytest.raises(StageError, match=rf"locked by process {os.getpid()} on \S+ after") as caught,
    ):
        recipe.train()
    assert "choose another exp_tag" in str(caught.value)
    assert not (tmp_path / "exp" / "training.yaml").exists()


def test_rank_0_takes_the_other_rank_along_when_a_signal_ends_it(tmp_path):
    environment = {k: v for k, v in os.environ.items() if "RANK" not in k}
    environment |= {"PYTHONPATH": str(REPO_ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path / "exp")],
        env=environment,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 143
    assert report(tmp_path / "exp")["status"] == "interrupted"
    assert (tmp_path / "exp" / "last.ckpt").exists()
    assert (tmp_path / "rank1_ended").read_text() == "ended by SIGTERM"


class KillsRankZero(lightning.Callback):
    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_rank == 0 and trainer.global_step == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_exception(self, trainer, pl_module, exception):
        if trainer.global_rank == 1:
            Path("rank1_ended").write_text(str(exception))


if __name__ == "__main__":
    torch.set_num_threads(1)
    two = {"devices": 2, "strategy": "ddp"}
    system = Recipe(
        Path(sys.argv[1]),
        callbacks=[{"_target_": "tests.unit.systems.base.test_stopped_training.KillsRankZero"}],
        **two,
    )
    system.training_config["num_device"] = 2
    run_stages(system, ["train"])
