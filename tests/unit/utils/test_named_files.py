from __future__ import annotations

from espnet3.utils.named_files import iter_files, iter_texts


def test_files_are_found_from_here_and_from_the_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").touch()
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "there.txt").touch()
    node = {
        "a": ["here.txt", {"b": "there.txt"}],
        "c": ("absent.txt", 3, None, "recipe", "x" * 9999),
    }
    assert [path.name for path in iter_files(node, recipe)] == ["here.txt", "there.txt"]


def test_texts_are_found_at_any_depth():
    assert list(iter_texts({"a": ["x", ("y",)], "b": "", "c": 1})) == ["x", "y"]
