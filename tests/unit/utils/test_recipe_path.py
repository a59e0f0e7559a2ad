from __future__ import annotations

import os
import sys
from types import ModuleType

import pytest

from espnet3.utils.recipe_path import activate_recipe, running_recipe_dir


@pytest.fixture(autouse=True)
def _own_path(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.chdir(tmp_path)


def test_the_recipe_is_first_here_and_in_child_processes(tmp_path, caplog):
    sys.path.append(str(tmp_path))
    activate_recipe(tmp_path)
    activate_recipe(tmp_path)
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), "/somewhere"]
    assert caplog.messages == []


def test_another_working_directory_is_worth_a_warning(tmp_path, caplog):
    (tmp_path / "recipe").mkdir()
    activate_recipe(tmp_path / "recipe")
    assert str(tmp_path / "recipe") in caplog.text
    assert f"working directory is {tmp_path}," in caplog.text


def test_template_folders_leave_the_path(tmp_path):
    sys.path.insert(0, "/x/egs3/TEMPLATE/asr")
    activate_recipe(tmp_path)
    assert "/x/egs3/TEMPLATE/asr" not in sys.path


def test_the_src_of_another_recipe_is_forgotten(tmp_path, monkeypatch):
    for name in ("src", "src.model"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["src"].__path__ = [str(tmp_path / "other" / "src")]
    activate_recipe(tmp_path)
    assert "src" not in sys.modules
    assert "src.model" not in sys.modules


def test_the_src_of_this_recipe_stays(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "src", ModuleType("src"))
    sys.modules["src"].__path__ = [str(tmp_path / "src")]
    activate_recipe(tmp_path)
    assert "src" in sys.modules


@pytest.mark.parametrize(
    ("script", "found"),
    [("r/asr/run.py", "r/asr"), ("r/other.py", None), ("egs3/TEMPLATE/asr/run.py", None)],
)
def test_the_running_script_names_the_recipe(tmp_path, monkeypatch, script, found):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / script), raising=False)
    assert running_recipe_dir() == (tmp_path / found if found else None)
