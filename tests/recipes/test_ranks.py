"""A whole recipe on two ranks: what one process does happens once, training happens on both."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espnet3.utils.device_utils import RANK_VARIABLES
from tests.recipes.shipped import CONFIGS, REPO_ROOT, STAGES, copy_recipe
from tests.recipes.toy import write_recipe

TINY = [
    f"--set=training.{word}"
    for word in (
        "num_device=2",
        "trainer.accelerator=cpu",
        "create_dataset.sizes={train: 24, valid: 6, test: 4}",
        "trainer.max_epochs=1",
        "trainer.max_steps=200",
        "trainer.strategy=ddp",
        "model.encoder.num_blocks=1",
        "model.encoder.output_size=16",
        "model.encoder.linear_units=32",
    )
]
# Each stage notes which rank called it.
RUN = """
import os
from pathlib import Path

from src.system import MiniDigitsSystem

from egs3.TEMPLATE.asr.run import DEFAULT_STAGES, build_parser, main, parse_cli_and_stage_args

def noted(stage):
    def method(self):
        rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
        with Path(f"calls_{stage}").open("a") as stream:
            stream.write(rank + "\\n")
        return getattr(super(Noted, self), stage)()
    return method

class Noted(MiniDigitsSystem):
    pass

for stage in DEFAULT_STAGES:
    setattr(Noted, stage, noted(stage))

if __name__ == "__main__":
    args, _ = parse_cli_and_stage_args(build_parser(DEFAULT_STAGES), DEFAULT_STAGES)
    main(args=args, system_cls=Noted)
"""
FILE_LINE = re.compile(
    r"\[[^\]]+\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ \(\S+:\d+\) [A-Z]+:\t\[(\w+)\] "
)
CONSOLE_LINE = re.compile(r"\d\d:\d\d:\d\d \[\w+\] ([A-Z]+): ")


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in RANK_VARIABLES}
    return {**kept, "PYTHONPATH": str(REPO_ROOT), "OMP_NUM_THREADS": "1"}


def torchrun(folder: Path, *words: str, count: int = 2) -> subprocess.CompletedProcess[str]:
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}")
    return run(folder, *launcher, "run.py", *words)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )


def calls(folder: Path) -> dict[str, list[str]]:
    return {
        stage: sorted((folder / f"calls_{stage}").read_text().split())
        for stage in STAGES
        if (folder / f"calls_{stage}").exists()
    }


def check_logs(folder: Path, stderr: str) -> None:
    """Every line of a stage log is whole, of one stage, and rank 0 alone is on the console."""
    logs = sorted(folder.rglob("*.log"))
    assert {path.stem for path in logs} >= set(STAGES)
    for path in logs:
        text = path.read_text()
        assert text.count("=== [START] stage:") == 1, path
        heads = [line for line in text.splitlines() if re.match(r"\[[^\]]+\] \d{4}-", line)]
        assert all(FILE_LINE.match(line) for line in heads), path
        assert {FILE_LINE.match(line)[1] for line in heads} == {path.stem}
        report = json.loads(path.with_name(f"{path.stem}.run.json").read_text())
        assert report["status"] == "done"
    console = [line for line in stderr.splitlines() if CONSOLE_LINE.match(line)]
    assert sum("=== [START] stage: train ===" in line for line in console) == 1
    assert stderr.count("stages:\n") == 1


ONCE = {stage: ["0"] for stage in STAGES}


@pytest.fixture(scope="module")
def recipe_on_two_ranks(tmp_path_factory):
    """The recipe after all its stages under torchrun."""
    folder = copy_recipe("mini_digits/asr", tmp_path_factory.mktemp("ranks"))
    (folder / "run.py").write_text(RUN)
    done = torchrun(folder, *CONFIGS, *TINY, "--stages", *STAGES)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


def test_torchrun_trains_on_both_ranks_and_does_the_rest_once(recipe_on_two_ranks):
    folder, stderr = recipe_on_two_ranks
    assert calls(folder) == {**ONCE, "train": ["0", "1"]}
    check_logs(folder, stderr)
    assert (folder / "exp/training/model_pack/meta.yaml").is_file()


def test_another_number_of_ranks_than_devices_stops_before_any_stage(recipe_on_two_ranks):
    folder, _ = recipe_on_two_ranks
    before = calls(folder)
    wrong = torchrun(folder, *CONFIGS, "--stages", *STAGES)
    assert wrong.returncode == 1
    assert "but the launcher started 2" in wrong.stderr
    assert calls(folder) == before


def test_lightning_starts_the_other_rank_for_training_only(recipe_on_two_ranks):
    folder, _ = recipe_on_two_ranks
    for path in folder.glob("calls_*"):
        path.unlink()
    words = ("--set=training.stage_log_mode=per_rank", "--set=training.exp_tag=light")
    stages = ("create_dataset", "train", "infer")
    done = run(folder, "run.py", *CONFIGS, *TINY, *words, "--stages", *stages)
    assert done.returncode == 0, done.stderr
    assert calls(folder) == {"create_dataset": ["0"], "train": ["0", "1"], "infer": ["0"]}
    for rank in (0, 1):
        text = (folder / f"exp/light/train_rank{rank}.log").read_text()
        assert "=== [DONE] stage: train" in text


SLOW_SYSTEM = """
import os, time
from pathlib import Path
from espnet3.errors import DataError
from espnet3.systems.asr.system import ASRSystem

class RecipeSystem(ASRSystem):
    def create_dataset(self):
        Path("rank0.pid").write_text(str(os.getpid()))
        time.sleep(60)

    def collect_stats(self):
        raise DataError("the disk is full")

    def train(self):
        Path("trained").touch()
"""


def start_ranks(folder: Path, *stages: str) -> list[subprocess.Popen[str]]:
    """Start two ranks as `srun` does, which does not end the others when one fails."""
    processes = []
    for rank in range(2):
        variables = {
            "SLURM_PROCID": str(rank),
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_STEP_ID": folder.name,
        }
        words = ("--stages", *stages, "--training_config", "conf/training.yaml")
        processes.append(
            subprocess.Popen(
                [sys.executable, "run.py", *words],
                cwd=folder,
                env=environment() | variables,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def recipe(tmp_path: Path) -> Path:
    training = "num_device: 2\nmodel: {_target_: torch.nn.Identity}\n"
    return write_recipe(tmp_path / "recipe", system=SLOW_SYSTEM, training=training)


def test_when_rank_0_is_killed_the_others_stop(tmp_path):
    folder = recipe(tmp_path)
    first, second = start_ranks(folder, "create_dataset", "train")
    deadline = time.monotonic() + 60
    while not (folder / "rank0.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    _, message = second.communicate(timeout=30)
    first.communicate()
    assert second.returncode == 1
    assert "rank 0 is gone before stage train, so rank 1 stops" in message
    assert "its last stage was create_dataset" in message
    assert not (folder / "trained").exists()


def test_when_rank_0_fails_the_others_stop_however_late_they_start(tmp_path):
    folder = recipe(tmp_path)
    first, second = start_ranks(folder, "collect_stats", "train")
    messages = [process.communicate(timeout=60)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [1, 1]
    assert "error: the disk is full" in messages[0]
    assert "rank 0 ended with DataError before stage train" in messages[1]
    assert "Traceback" not in messages[1]
