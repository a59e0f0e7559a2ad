from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.utils.smoke.folders import Moves, known_values


@pytest.fixture
def moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moves = Moves(tmp_path)
    moves.add("./data", "exp/smoke_data")
    moves.add("./data/tokenizer", "exp/smoke_tokenizer")
    return moves


def test_the_innermost_folder_counts(moves):
    assert moves.target("data/manifest/a.tsv") == "exp/smoke_data/manifest/a.tsv"
    assert moves.target(str(Path("data").absolute())) == "exp/smoke_data"
    assert moves.target("./data/tokenizer/x.model") == "exp/smoke_tokenizer/x.model"


@pytest.mark.parametrize("text", ["exp/a", "database", "", None, 3, "data\n", "x" * 5000])
def test_anything_else_stays(moves, text):
    assert moves.target(text) is None


def test_a_folder_that_holds_the_recipe_is_never_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moves = Moves(tmp_path)
    for folder in (".", "..", "/", "", None):
        moves.add(folder, "elsewhere")
    assert moves.table == {}


def test_a_path_that_follows_by_itself_is_left_alone(moves):
    before = {"a": "data/x", "b": "data/x", "c": "other"}
    now = {"a": "./exp/smoke_data/x", "b": "data/x", "c": "other"}
    assert list(moves.changes(before, now)) == [("b", "exp/smoke_data/x")]


def test_an_archive_that_a_builder_reads_stays(moves):
    Path("data").mkdir()
    Path("data/a.tar.gz").touch()
    values = {"create_dataset.archive": "data/a.tar.gz", "create_dataset.data_dir": "data"}
    assert [key for key, _ in moves.changes(values, values)] == ["create_dataset.data_dir"]


def test_values_are_known_as_far_as_they_resolve():
    config = OmegaConf.create(
        {"a": "${b}/x", "b": "y", "c": "${nowhere}", "d": "???", "e": [{"f": "${b}"}], "g": "${e}"}
    )
    found = known_values(config)
    assert (found["a"], found["c"], found["d"], found["e.0.f"]) == ("y/x", None, "???", "y")
    assert found["g"] == [{"f": "${b}"}]
