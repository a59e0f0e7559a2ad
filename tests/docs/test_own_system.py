"""The guide to a system of one's own, followed literally in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import b12_own_system
from tests.docs.pages import COMMANDS, run_commands, write_files


def test_the_guide_works_when_it_is_followed_literally(tmp_path: Path) -> None:
    write_files(tmp_path, b12_own_system.read_files())
    (commands,) = COMMANDS.findall(b12_own_system.PAGE.read_text())
    run_commands(tmp_path, commands)
    experiment = tmp_path / "egs3/tones/pitch/exp/training"
    (metric,) = json.loads((experiment / "inference/metrics.json").read_text()).values()
    assert metric["test"]["accuracy"] > 90
    assert (experiment / "list_mistakes.log").is_file()


def test_a_recipe_of_a_new_task_is_short() -> None:
    counts = b12_own_system.count_recipe(b12_own_system.read_files())
    total = sum(counts.values())
    assert len(counts) == 5
    assert total <= b12_own_system.LIMIT
    assert f"configuration in {total} lines" in b12_own_system.PAGE.read_text()
