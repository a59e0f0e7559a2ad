"""The recipe on real digits, from the archive to an error rate, at toy size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipes.shipped import copy_recipe, run_recipe

STAGES = ["create_dataset", "train_tokenizer", "collect_stats", "train", "infer", "measure"]


@pytest.mark.parametrize("suffix", ["", "_heldout"])
def test_pipeline_gives_an_error_rate(tmp_path: Path, shared_data: Path, suffix: str) -> None:
    folder = copy_recipe("fsdd/asr", tmp_path)
    values = {
        "create_dataset.archive_path": shared_data / "free-spoken-digit-dataset.tar.gz",
        "create_dataset.sizes": "{train: 24, valid: 5, test: 12}",
        "trainer.max_epochs": 1,
        "trainer.max_steps": 200,
        "model.encoder.num_blocks": 1,
    }
    result = run_recipe(
        folder,
        f"--training_config=conf/training{suffix}.yaml",
        f"--inference_config=conf/inference{suffix}.yaml",
        "--metrics_config=conf/metrics.yaml",
        *(f"--set=training.{key}={value}" for key, value in values.items()),
        *("--stages", *STAGES),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    experiment = folder / "exp" / ("heldout_theo" if suffix else "training")
    scores = json.loads((experiment / f"inference{suffix}" / "metrics.json").read_text())
    assert scores["espnet3.systems.asr.metrics.wer.WER"]["test"]["WER"] > 0
    if suffix:
        hyps = (experiment / f"inference{suffix}" / "test" / "hyp.scp").read_text().splitlines()
        assert all(line.startswith("theo-") for line in hyps)


def test_missing_archive_is_one_clear_error(
    tmp_path: Path,
) -> None:
    folder = copy_recipe("fsdd/asr", tmp_path)
    result = run_recipe(
        folder,
        "--training_config=conf/training.yaml",
        "--set=training.create_dataset.archive_path=none.tar.gz",
        *("--stages", "create_dataset"),
    )
    assert result.returncode != 0
    assert "create_dataset.archive_path = 'none.tar.gz': no such file" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "data" / "manifest").exists()
