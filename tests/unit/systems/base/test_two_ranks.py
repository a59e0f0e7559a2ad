"""Training on two devices through stages, as a recipe with its own curriculum does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import lightning
import torch

from espnet3.systems.base.training import train
from espnet3.utils.device_utils import RANK_VARIABLES
from espnet3.utils.stages_utils import run_stages
from espnet3.utils.weights_utils import read_state_dict
from tests.unit.components.toy_training import toy_config

REPO_ROOT = Path(__file__).resolve().parents[4]


class NotesBatches(lightning.Callback):
    """Write down what each rank reads."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        notes = Path(trainer.default_root_dir) / f"rank{trainer.global_rank}.txt"
        with notes.open("a") as stream:
            stream.write(f"{trainer.current_epoch} {' '.join(batch[0])}\n")


class Curriculum:
    stage_log_dirs = {"default": None}

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def train_easy(self) -> None:
        train(self._config("easy", devices=2))

    def train_full(self) -> None:
        train(self._config("full", devices=1))

    def _config(self, name: str, devices: int) -> dict:
        loaders = {}
        for mode, count in (("train", 8), ("valid", 4)):
            shapes = self.folder / f"{mode}_shape"
            shapes.write_text("".join(f"{index} 4\n" for index in range(count)))
            loaders[mode] = {"loader": "native", "shape_file": str(shapes), "max_batch_size": 2}
        config = toy_config(self.folder / name, num_device=devices, dataloader=loaders)
        config["trainer"] |= {
            "devices": devices,
            "strategy": "ddp" if devices > 1 else "auto",
            "callbacks": [{"_target_": "tests.unit.systems.base.test_two_ranks.NotesBatches"}],
        }
        return config


def read_notes(folder: Path) -> list[list[tuple[str, ...]]]:
    files = sorted(folder.glob("rank*.txt"))
    return [[tuple(line.split()) for line in file.read_text().splitlines()] for file in files]


def test_two_ranks_train_one_model_and_the_next_stage_runs_alone(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in RANK_VARIABLES}
    environment |= {"PYTHONPATH": str(REPO_ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path)],
        env=environment,
        cwd=tmp_path,
        timeout=300,
        check=True,
    )
    easy = tmp_path / "easy"
    first, second = read_notes(easy)
    assert [epoch for epoch, *_ in first] == ["0", "0", "1", "1"]
    for epoch in ("0", "1"):
        read = [uid for rank in (first, second) for e, *uids in rank if e == epoch for uid in uids]
        assert sorted(read) == [f"utt{index}" for index in range(8)]
    history = [json.loads(line) for line in (easy / "metrics.jsonl").read_text().splitlines()]
    assert [(entry["epoch"], entry["split"], entry["step"]) for entry in history] == [
        (0, "valid", 2),
        (0, "train", 2),
        (1, "valid", 4),
        (1, "train", 4),
    ]
    best = [
        read_state_dict(easy / f"epoch{e}_step{s}_valid.loss.ckpt") for e, s in ((0, 2), (1, 4))
    ]
    average = torch.load(easy / "valid.loss.ave.pth", weights_only=True)
    mean = torch.stack([state["head.weight"] for state in best]).mean(0)
    torch.testing.assert_close(average["head.weight"], mean)
    assert (tmp_path / "full" / "last.ckpt").readlink() == Path("step8.ckpt")
    assert len(read_notes(tmp_path / "full")) == 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_stages(Curriculum(Path(sys.argv[1])), ["train_easy", "train_full"])
