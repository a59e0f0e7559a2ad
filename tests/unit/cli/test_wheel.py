"""The command from the built wheel, outside the checkout."""

from __future__ import annotations

import zipfile

import pytest

from tests import wheel
from tests.conftest import REPO_ROOT

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
    assert checked.stdout.count(": ok") + checked.stdout.count("  ok") == 4
    run = [commands / "python", "run.py", *CONFIGS, "--stages", "all", "--dry_run"]
    planned = wheel.run_outside(run, recipe)
    assert planned.returncode == 0, planned.stderr
    assert str(REPO_ROOT) not in planned.stdout + planned.stderr


def test_the_installed_doctor_finds_what_the_wheel_requires(commands, tmp_path):
    done = wheel.run_outside([commands / "espnet3", "doctor"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(commands.parent) in done.stdout.splitlines()[0]
    assert "train_tokenizer  ok" in done.stdout and "sentencepiece" in done.stdout
