"""The shipped recipe with two training phases, at toy size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from espnet3.utils.weights_utils import read_state_dict
from tests.recipes.shipped import copy_recipe, run_recipe

EASY = ["--training_easy_config", "conf/training_easy.yaml"]
FULL = ["--training_full_config", "conf/training_full.yaml"]
REST = [f"--{slot}_config=conf/{slot}.yaml" for slot in ("inference", "metrics", "publication")]
TOY = {
    "create_dataset.sizes": "{train: 24, valid: 4, test: 4}",
    "create_dataset.num_processes": 1,
    "model.hidden_size": 8,
    "model.channels": 4,
    "dataloader.train.max_batch_size": 4,
    "trainer.max_steps": 3,
    "scheduler.warmup_steps": 1,
}
PREPARE = ["create_dataset", "train_tokenizer", "collect_stats"]


def toy(*phases: str) -> list[str]:
    return [f"--set=training_{phase}.{k}={v}" for phase in phases for k, v in TOY.items()]


def succeed(folder: Path, *words: str) -> str:
    result = run_recipe(folder, *words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Data and both phases in one process, requested in the wrong order."""
    folder = copy_recipe("mini_digits/asr_curriculum", tmp_path_factory.mktemp("together"))
    stages = ["train_full", "train_easy", *PREPARE]
    return folder, succeed(folder, "--stages", *stages, *EASY, *FULL, *toy("easy", "full"))


@pytest.fixture(scope="module")
def separate(
    together: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The phases as two commands, each with nothing but its own configuration."""
    folder = copy_recipe("mini_digits/asr_curriculum", tmp_path_factory.mktemp("separate"))
    shutil.copytree(together[0] / "data", folder / "data")
    shutil.copytree(together[0] / "exp/stats", folder / "exp/stats")
    succeed(folder, "--stages", "train_easy", *EASY, *toy("easy"))
    assert not (folder / "exp/training_full").exists()
    stages = ["train_full", "infer", "measure", "pack_model", "export_debug"]
    return folder, succeed(folder, "--stages", *stages, *FULL, *REST, *toy("full"))


def test_each_phase_writes_to_its_own_folder(separate: tuple[Path, str]) -> None:
    for phase in ("training_easy", "training_full"):
        folder = separate[0] / "exp" / phase
        assert (folder / "last.ckpt").is_file()
        assert yaml.safe_load((folder / "training.yaml").read_text())["exp_tag"] == phase
        stage = phase.replace("training", "train")
        assert json.loads((folder / f"{stage}.run.json").read_text())["status"] == "done"


def test_the_second_phase_starts_from_the_first_and_keeps_what_is_frozen(
    separate: tuple[Path, str],
) -> None:
    easy = read_state_dict(separate[0] / "exp/training_easy/last.ckpt")
    full = read_state_dict(separate[0] / "exp/training_full/last.ckpt")
    frozen = {name for name in easy if name.startswith("subsampling.")}
    assert frozen
    assert all(torch.equal(easy[name], full[name]) for name in frozen)
    assert not torch.equal(easy["ctc.projection.weight"], full["ctc.projection.weight"])
    log = (separate[0] / "exp/training_full/train_full.log").read_text()
    assert "training_easy/last.ckpt: 24 of 24 tensors loaded" in log
    assert "The phase starts from valid/loss" in log
    assert "Frozen: 6 parameter tensors (subsampling)" in log


def test_the_parts_of_the_recipe_take_the_place_of_the_standard_ones(
    separate: tuple[Path, str],
) -> None:
    config = yaml.safe_load((separate[0] / "exp/training_full/training.yaml").read_text())
    assert config["model"]["_target_"] == "src.model.DigitModel"
    assert config["lightning_module"]["snr_db"] == [10.0, 40.0]


def test_both_phases_in_one_process_give_the_same_weights(
    together: tuple[Path, str], separate: tuple[Path, str]
) -> None:
    folder, console = together
    everything = " ".join([*PREPARE, "train_easy", "train_full"])
    assert f"stages to run: {everything}" in console
    for phase in ("training_easy", "training_full"):
        one = read_state_dict(folder / "exp" / phase / "last.ckpt")
        two = read_state_dict(separate[0] / "exp" / phase / "last.ckpt")
        assert all(torch.equal(one[name], two[name]) for name in two), phase
    log = (folder / "exp/training_easy/train_easy.log").read_text()
    assert "Training Easy config content:" in log
    assert "Training Full config content:" in log


def test_inference_follows_either_phase(separate: tuple[Path, str]) -> None:
    folder = separate[0]
    experiment = folder / "exp/training_full"
    assert (experiment / "inference/metrics.json").is_file()
    errors = (experiment / "debug_export/errors.tsv").read_text().splitlines()
    assert errors[0].split("\t") == ["test set", "utterance", "reference", "hypothesis"]
    trust = yaml.safe_load((experiment / "model_pack/meta.yaml").read_text())["trust"]
    assert trust["targets"] == ["src.model.DigitModel"]
    words = [*REST[:2], "--set=inference.exp_tag=training_easy"]
    succeed(folder, "--stages", "infer", "measure", *words)
    assert (folder / "exp/training_easy/inference/metrics.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["train_easy", *FULL],
            "error: Config not provided for stage(s): train_easy. Use --training_easy_config.",
        ),
        (
            ["create_dataset", *EASY],
            "error: Config not provided for stage(s): create_dataset. Use --training_full_config.",
        ),
        (
            ["train_full", *FULL],
            "error: init_from.path = 'exp/training_easy/last.ckpt': no such weight file",
        ),
        (
            ["infer", "--inference_config", "conf/inference.yaml"],
            "error: infer stage requires --training_config",
        ),
    ],
    ids=["easy", "data", "full", "infer"],
)
def test_what_is_missing_is_named(tmp_path: Path, words: list[str], message: str) -> None:
    folder = copy_recipe("mini_digits/asr_curriculum", tmp_path)
    result = run_recipe(folder, "--stages", *words)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
