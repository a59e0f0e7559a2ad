"""Facts about the machine, without torch."""

from __future__ import annotations

import importlib.machinery
import importlib.util

import pytest

from espnet3.cli import machine


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip = None",
            ("2.13.0+cpu", None),
        ),
        ("__version__ = '2.12.0'\ncuda: Optional[str] = '12.8'", ("2.12.0", "12.8")),
        ("__version__ = '2.12.0'\ncuda = None\nhip = '6.4'", ("2.12.0", "6.4")),
    ],
)
def test_the_build_of_torch_is_read_from_its_version_file(tmp_path, monkeypatch, lines, expected):
    (tmp_path / "version.py").write_text(lines + "\n")
    spec = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    build = machine.torch_build()
    assert (build.version, build.cuda) == expected


def test_without_torch_there_is_no_build(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert machine.torch_build() is None


def test_hidden_gpus_do_not_count(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    everything = machine.count_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert machine.count_gpus() == min(everything, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.count_gpus() == 0


def test_a_folder_that_does_not_exist_is_judged_by_its_parent(tmp_path):
    assert machine.existing_parent(tmp_path / "a" / "b") == tmp_path
    assert machine.is_writable(tmp_path / "a" / "b")
    assert machine.free_bytes(tmp_path / "a") > 0
    (tmp_path / "file").write_text("")
    assert not machine.is_writable(tmp_path / "file" / "b")
