from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from espnet3.utils.path_utils import (
    atomic_directory,
    atomic_open,
    atomic_path,
    is_inside,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_replaces_the_old_one_and_has_ordinary_rights(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    write_text(target, "old")
    write_text(target, "nü")
    assert target.read_text(encoding="utf-8") == "nü"
    plain = tmp_path / "plain"
    plain.write_text("")
    assert target.stat().st_mode == plain.stat().st_mode
    assert names(target.parent) == ["a.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_open(target) as stream:
        stream.write("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_temporary_file_has_the_suffix_of_the_target(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.npz") as temporary:
        assert temporary.suffix == ".npz"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")
    assert (tmp_path / "a.npz").read_bytes() == b"x"


def test_binary_mode(tmp_path: Path) -> None:
    with atomic_open(tmp_path / "a.bin", "wb") as stream:
        stream.write(b"\x00\xff")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"


def test_json_is_readable_text(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": [1]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "ä": [\n    1\n  ]\n}\n'
    assert json.loads(text) == {"ä": [1]}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("")
    with atomic_directory(target) as building:
        (building / "new").write_text("")
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(tmp_path) == ["out"]
    assert os.access(target, os.W_OK)


def test_a_failed_folder_keeps_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("")
    with pytest.raises(KeyboardInterrupt), atomic_directory(target) as building:
        (building / "half").write_text("")
        raise KeyboardInterrupt
    assert names(target) == ["old"]
    assert names(tmp_path) == ["out"]


def test_a_failure_between_the_two_moves_restores_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("")
    with pytest.raises(FileNotFoundError), atomic_directory(target) as building:
        building.rmdir()
    assert names(target) == ["old"]
    assert names(tmp_path) == ["out"]


def test_a_new_folder_needs_no_old_one(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "a" / "b") as building:
        (building / "f").write_text("")
    assert names(tmp_path / "a") == ["b"]


def test_is_inside_follows_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    assert is_inside(root, root)
    assert is_inside(root / "a" / ".." / "b", root)
    assert not is_inside(root / ".." / "b", root)
    assert not is_inside(root / "link" / "x", root)
    assert not is_inside(tmp_path / "root2", root)
