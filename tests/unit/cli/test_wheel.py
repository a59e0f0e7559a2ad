"""The command from the built wheel, outside the checkout."""

from __future__ import annotations

import time
import wave
import zipfile

import numpy as np
import pytest

from tests import wheel
from tests.conftest import REPO_ROOT

SHIPPED = "mini_digits/asr"
CONFIGS = [
    word
    for slot in ("training", "inference", "metrics", "publication")
    for word in (f"--{slot}_config", f"conf/{slot}.yaml")
]


def test_the_wheel_holds_every_file_of_the_tree_and_nothing_else(built_wheel):
    found = {
        name
        for name in zipfile.ZipFile(built_wheel).namelist()
        if name.partition("/")[0] in wheel.PACKAGES
    }
    assert found == {path.as_posix() for path in wheel.source_files()}


def test_the_installed_command_knows_its_recipes(commands, tmp_path):
    done = wheel.run_outside([commands / "espnet3", "new", "--list"], tmp_path)
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"TEMPLATE/asr", "mini_digits/asr", "fsdd/asr"} <= set(names)


@pytest.mark.parametrize("source", [[], ["--from", "mini_digits/asr"]])
def test_a_new_recipe_is_correct_and_runs_in_an_empty_folder(commands, tmp_path, source):
    espnet3 = commands / "espnet3"
    made = wheel.run_outside([espnet3, "new", "mine/asr", *source], tmp_path)
    assert made.returncode == 0, made.stderr
    recipe = tmp_path / "mine" / "asr"
    checked = wheel.run_outside([commands / "python", "-m", "espnet3", "check"], recipe)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    configs = [p for p in (recipe / "conf").glob("*.yaml") if p.name != "smoke.yaml"]
    assert checked.stdout.count("  ok") == len(configs) >= 4
    run = [commands / "python", "run.py", *CONFIGS, "--stages", "all", "--dry_run"]
    planned = wheel.run_outside(run, recipe)
    assert planned.returncode == 0, planned.stderr
    assert str(REPO_ROOT) not in planned.stdout + planned.stderr


def test_the_installed_doctor_finds_what_the_wheel_requires(commands, tmp_path):
    done = wheel.run_outside([commands / "espnet3", "doctor"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(commands.parent) in done.stdout.splitlines()[0]
    assert "train_tokenizer  ok" in done.stdout and "sentencepiece" in done.stdout


def write_corpus(folder):
    """Write a few seconds of tones with a transcript each, and one list per split."""
    rng = np.random.default_rng(0)
    (folder / "lists").mkdir()
    for split, size in {"train": 8, "valid": 2, "test": 2}.items():
        rows = []
        for index in range(size):
            words = rng.choice(["low", "mid", "high"], 4)
            pitches = [{"low": 200, "mid": 600, "high": 1800}[word] for word in words]
            seconds = np.arange(4000) / 16000
            speech = np.concatenate([np.sin(2 * np.pi * pitch * seconds) for pitch in pitches])
            path = folder / "lists" / f"{split}{index}.wav"
            with wave.open(str(path), "wb") as stream:
                stream.setparams((1, 2, 16000, 0, "NONE", ""))
                stream.writeframes((speech * 8000).astype("<i2").tobytes())
            rows.append(f"{split}{index}\t{path.name}\t{' '.join(words)}\n")
        (folder / "lists" / f"{split}.tsv").write_text("".join(rows))


@pytest.mark.slow
def test_a_recipe_for_own_data_trains_scores_and_packs(commands, tmp_path):
    made = wheel.run_outside([commands / "espnet3", "new", "mine/asr"], tmp_path)
    assert made.returncode == 0, made.stderr
    recipe = tmp_path / "mine" / "asr"
    write_corpus(recipe)
    tiny = {
        "tokenizer.vocab_size": 14,
        "model.encoder.num_blocks": 1,
        "model.encoder.output_size": 16,
        "model.encoder.linear_units": 16,
        "trainer.max_epochs": 1,
    }
    overrides = [word for key in tiny for word in ("--set", f"training.{key}={tiny[key]}")]
    done = wheel.run_outside([commands / "python", "run.py", *CONFIGS, *overrides], recipe)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "| test     | WER " in (recipe / "exp/training/inference/metrics.md").read_text()
    assert (recipe / "exp/training/model_pack/meta.yaml").is_file()


def test_main_runs_without_a_checkout_in_any_directory(commands, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/training.yaml").write_text(
        "dataset: {train: [{data_src_args: {split: train}}]}\n"
    )
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/__init__.py").write_text("class Dataset:\n    pass\n")
    code = (
        "from argparse import Namespace\n"
        "from pathlib import Path\n"
        "from egs3.TEMPLATE.asr.run import main\n"
        "from espnet3.systems.asr.system import ASRSystem\n"
        'args = Namespace(stages=["create_dataset"], training_config=Path("conf/training.yaml"),\n'
        "    inference_config=None, metrics_config=None, publication_config=None,\n"
        "    demo_config=None, dry_run=False, write_requirements=False)\n"
        'main(args=args, system_cls=ASRSystem, stages=["create_dataset"])\n'
    )
    done = wheel.run_outside([commands / "python", "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/create_dataset.log").is_file()
    assert "WarmupLR" in (tmp_path / "data/create_dataset.log").read_text()


@pytest.mark.slow
def test_a_copied_recipe_gives_a_toy_model_with_scores_in_two_minutes(commands, tmp_path):
    made = wheel.run_outside([commands / "espnet3", "new", "d/asr", "--from", SHIPPED], tmp_path)
    assert made.returncode == 0, made.stderr
    recipe = tmp_path / "d" / "asr"
    start = time.monotonic()
    done = wheel.run_outside([commands / "python", "run.py", *CONFIGS, "--smoke"], recipe)
    assert done.returncode == 0, done.stderr[-3000:]
    assert time.monotonic() - start < 120
    (scores,) = recipe.glob("exp/smoke*/**/metrics.md")
    assert "| WER " in scores.read_text()
