"""The built-in recipe from nothing to a transcript by its bundle."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.recipes.shipped import CONFIGS, STAGES, copy_recipe, run_recipe


def settings(**values: object) -> list[str]:
    return [f"--set=training.{key}={value}" for key, value in values.items()]


TINY = [
    *settings(
        **{
            "create_dataset.sizes": "{train: 24, valid: 6, test: 12}",
            "trainer.max_epochs": 1,
            "trainer.max_steps": 200,
            "model.encoder.num_blocks": 1,
        }
    )
]


def cpu_seconds_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def word_error_rate(folder: Path) -> float:
    scores = json.loads((folder / "exp/training/inference/metrics.json").read_text())
    return float(scores["espnet3.systems.asr.metrics.wer.WER"]["test"]["WER"])


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = copy_recipe("mini_digits/asr", tmp_path_factory.mktemp("mini_digits"))
    result = run_recipe(folder, *CONFIGS, *TINY, "--stages", *STAGES, "report")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, result.stdout


def test_every_stage_leaves_its_files(tiny_run: tuple[Path, str]) -> None:
    folder, _ = tiny_run
    for name in (
        "data/manifest/train.tsv",
        "data/tokenizer/word.model",
        "data/tokenizer/tokens.txt",
        "exp/stats/train/speech_shape",
        "exp/training/training.yaml",
        "exp/training/last.ckpt",
        "exp/training/inference/test/hyp.scp",
        "exp/training/inference/metrics.json",
        "exp/training/inference/metrics.md",
        "exp/training/model_pack/meta.yaml",
        "exp/training/model_pack/README.md",
        "exp/training/report.txt",
    ):
        assert (folder / name).is_file(), name


def test_report_shows_scores_places_and_a_transcript(tiny_run: tuple[Path, str]) -> None:
    folder, stdout = tiny_run
    report = (folder / "exp/training/report.txt").read_text()
    assert report in stdout
    for word in (
        "WER",
        "CER",
        " words",
        " characters",
        "substitutions",
        "model_pack",
        "should be ",
    ):
        assert word in report


def test_second_run_does_nothing_and_gives_the_same(tiny_run: tuple[Path, str]) -> None:
    folder, _ = tiny_run
    report = (folder / "exp/training/report.txt").read_text()
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.wav")}
    checkpoint = (folder / "exp/training/last.ckpt").resolve()
    started = cpu_seconds_of_children()
    result = run_recipe(folder, *CONFIGS, *TINY, "--stages", *STAGES, "report")
    assert result.returncode == 0, result.stdout + result.stderr
    assert cpu_seconds_of_children() - started < 20
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.wav")} == before
    assert (folder / "exp/training/last.ckpt").resolve() == checkpoint
    assert (folder / "exp/training/report.txt").read_text() == report


def snapshot(folder: Path) -> dict[str, int]:
    """Return the modification time of everything in a folder but byte code."""
    paths = [folder, *folder.rglob("*")]
    return {str(p): p.lstat().st_mtime_ns for p in paths if "__pycache__" not in str(p)}


def states(folder: Path, *arguments: str) -> dict[str, str]:
    """Return the state of each stage in the run plan."""
    result = run_recipe(
        folder, *CONFIGS, *TINY, *arguments, "--dry_run", "--stages", *STAGES, "report"
    )
    assert result.returncode == 0, result.stderr
    assert all(f"[DRY RUN] would run stage: {stage}" in result.stderr for stage in STAGES)
    plan = result.stderr.partition("run plan:\n")[2]
    rows = [
        re.match(r"  (\w+) +(up to date|would run|unknown|would fail) ", r)
        for r in plan.splitlines()
    ]
    return {row[1]: row[2] for row in rows if row}


def test_the_run_plan_of_a_finished_recipe_writes_nothing(tiny_run: tuple[Path, str]) -> None:
    folder, _ = tiny_run
    before = snapshot(folder)
    found = states(folder)
    assert snapshot(folder) == before
    assert found == {
        "create_dataset": "unknown",
        "train_tokenizer": "up to date",
        "collect_stats": "up to date",
        "train": "up to date",
        "infer": "up to date",
        "measure": "would run",
        "pack_model": "would run",
        "report": "would run",
    }
    more = states(folder, "--set=training.trainer.max_epochs=2", "--set=inference.batch_size=3")
    assert (more["train"], more["infer"]) == ("would run", "would run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set=training.create_dataset.sise=3"], "create_dataset.sise"),
        (["--set=training.trainer.max_epoch=3"], "max_epochs"),
        (["--set=training.optimiser=x"], "optimizer"),
    ],
)
def test_misspelt_key_is_named_and_nothing_is_built(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    folder = copy_recipe("mini_digits/asr", tmp_path)
    result = run_recipe(folder, *CONFIGS, *arguments, "--stages", "create_dataset")
    assert result.returncode != 0
    assert message in result.stderr
    assert not list(folder.rglob("*.wav"))


@pytest.mark.slow
def test_half_the_data_is_enough_for_a_word_error_rate_below_20_percent(
    tmp_path: Path,
) -> None:
    folder = copy_recipe("mini_digits/asr", tmp_path)
    reduced = settings(
        **{
            "create_dataset.sizes": "{train: 2000, valid: 100, test: 200}",
            "trainer.max_steps": 500,
            "trainer.max_epochs": 4,
        }
    )
    result = run_recipe(folder, *CONFIGS, *reduced, "--stages", *STAGES, "report")
    assert result.returncode == 0, result.stdout + result.stderr
    assert word_error_rate(folder) < 20
