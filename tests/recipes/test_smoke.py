"""`python run.py --smoke` in a shipped recipe, as a newcomer types it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.recipes.shipped import copy_recipe, run_recipe


def snapshot(*folders: Path) -> dict[str, int]:
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return {str(path): path.lstat().st_mtime_ns for path in paths}


@pytest.fixture(scope="module")
def smoked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The recipe after one smoke run, beside folders of a user's own."""
    folder = copy_recipe("mini_digits/asr", tmp_path_factory.mktemp("smoke"))
    own = [folder / "data", folder / "exp" / "training", folder / "exp" / "stats"]
    for path in own:
        path.mkdir(parents=True)
        (path / "precious").write_text("weeks of work")
    before = snapshot(*own)
    result = run_recipe(folder, "--smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    assert snapshot(*own) == before
    return folder, result.stderr


def test_all_stages_run_in_folders_of_their_own(smoked: tuple[Path, str]) -> None:
    folder, log = smoked
    names = {path.name for path in (folder / "exp").iterdir()}
    smoke = {"smoke_training", "smoke_training_data", "smoke_training_stats"}
    assert names == {"training", "stats", *smoke}
    assert (folder / "exp/smoke_training/inference/metrics.json").is_file()
    assert (folder / "exp/smoke_training/report.txt").is_file()
    assert not list((folder / "exp/smoke_training/model_pack").rglob("*.wav"))
    assert "their numbers mean nothing" in log


def test_what_was_changed_is_shown_and_saved(smoked: tuple[Path, str]) -> None:
    folder, log = smoked
    saved = (folder / "exp/smoke_training/training.yaml").read_text()
    for change in ("training.trainer.max_steps=8", "training.create_dataset.sizes.train=16"):
        assert f"\n  {change}\n" in log
        assert f"# --set {change}\n" in saved


def test_without_rules_for_the_data_they_are_read_where_they_are(
    smoked: tuple[Path, str], tmp_path: Path
) -> None:
    made, _ = smoked
    folder = copy_recipe("mini_digits/asr", tmp_path)
    (folder / "conf" / "smoke.yaml").unlink()
    shutil.copytree(made / "exp" / "smoke_training_data", folder / "data")
    shutil.rmtree(folder / "data" / "tokenizer")
    before = snapshot(folder / "data")
    stages = ("create_dataset", "train_tokenizer", "collect_stats")
    result = run_recipe(folder, "--smoke", "--stages", *stages)
    assert result.returncode == 0, result.stderr
    assert "create_dataset is not run" in result.stderr
    assert snapshot(folder / "data") == before
    assert (folder / "exp" / "smoke_training_tokenizer" / "tokens.txt").is_file()
    assert (folder / "exp" / "smoke_training_stats" / "train" / "speech_shape").is_file()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training: {trainer: {max_step: 3}}", "smoke.yaml:1: trainer.max_step"),
        ("training:\n  traner: {}\n  sead: 3", "smoke.yaml:3: sead"),
        ("trainig: {seed: 3}", "trainig"),
    ],
)
def test_a_mistake_in_the_recipe_s_rules_is_named_before_anything_runs(
    tmp_path: Path, text: str, expected: str
) -> None:
    folder = copy_recipe("mini_digits/asr", tmp_path)
    (folder / "conf" / "smoke.yaml").write_text(text)
    result = run_recipe(folder, "--smoke", "--stages", "train")
    assert result.returncode == 1
    assert expected in result.stderr
    assert not (folder / "exp").exists()


def test_nothing_is_published(tmp_path: Path) -> None:
    folder = copy_recipe("mini_digits/asr", tmp_path)
    result = run_recipe(folder, "--smoke", "--stages", "train", "upload_model")
    assert result.returncode == 1
    assert "--smoke never publishes" in result.stderr
    assert not (folder / "exp").exists()


def test_a_dry_run_of_it_writes_nothing(tmp_path: Path) -> None:
    folder = copy_recipe("mini_digits/asr", tmp_path)
    result = run_recipe(folder, "--smoke", "--dry_run")
    assert result.returncode == 0, result.stderr
    assert "exp/smoke_training/last.ckpt" in result.stderr
    assert not (folder / "exp").exists()
