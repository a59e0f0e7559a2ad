"""Data set entries against the source of their modules, on a recipe in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.components.data.reference_checks import ORGANIZER, check_datasets
from espnet3.utils.run_checks import RunRequest

DATASET = """
class Dataset:
    def __init__(self, split: str) -> None: ...
"""


def request(recipe_dir: Path, **entry: object) -> RunRequest:
    dataset = {"_target_": ORGANIZER, "recipe_dir": str(recipe_dir), "train": [entry]}
    return RunRequest(configs={"training": OmegaConf.create({"dataset": dataset})}, stages=())


@pytest.fixture
def recipe_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "__init__.py").write_text(DATASET)
    return tmp_path


def test_a_split_beside_the_arguments_is_worth_a_warning(recipe_dir):
    run = request(recipe_dir, split="train", data_src_args={"split": "valid"})
    [finding] = check_datasets(run)
    assert not finding.is_fatal
    assert finding.error.key == "dataset.train[0].split"
    assert "data_src_args" in str(finding.error)


def test_a_split_among_the_arguments_is_fine_and_a_misspelt_one_is_not(recipe_dir):
    assert list(check_datasets(request(recipe_dir, data_src_args={"split": "train"}))) == []
    findings = list(check_datasets(request(recipe_dir, data_src_args={"spilt": "train"})))
    assert any("spilt" in (finding.error.key or "") and finding.is_fatal for finding in findings)
