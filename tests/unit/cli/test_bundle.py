from __future__ import annotations

import json

import pytest

from espnet3.cli.main import main
from espnet3.publication import bundle
from espnet3.publication.golden import write_samples
from tests.unit.publication.conftest import write

CODE = "def build():\n    return lambda speech: {'hyp': f'{speech.sum():.1f}'}\n"


@pytest.fixture
def packed(tmp_path):
    """A bundle whose model is code of its own, with a golden sample."""
    import numpy as np

    root = tmp_path / "pack"
    write(root / "src" / "mine.py", CODE)
    write(root / "conf" / "inference.yaml", {"model": {"_target_": "src.mine.build"}})
    yaml_files = {"inference_config": "conf/inference.yaml"}
    bundle.write_meta(root, bundle.BundleMeta(yaml_files=yaml_files, user_code_paths=("src",)))

    class Stub:
        input_key = "speech"

        def forward(self, sample, *, idx=0):
            return {"hyp": f"{sample['speech'].sum():.1f}"}

    write_samples(Stub(), root, [{"speech": np.ones(3, dtype=np.float32)}])
    bundle.write_manifest(root)
    return root


@pytest.fixture(autouse=True)
def _forget_user_code(monkeypatch):
    import sys

    from espnet3.publication import code_scope

    monkeypatch.setattr(code_scope, "_activated", set())
    monkeypatch.setattr(code_scope, "_scopes", {})
    monkeypatch.setattr(code_scope.CodeScope, "_current", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("src", "mine")]:
        del sys.modules[name]


def test_verify_runs_the_golden_samples(packed, capsys):
    assert main(["bundle", "verify", str(packed)]) == 1
    assert "trust_user_code=True" in capsys.readouterr().err
    assert main(["bundle", "verify", "--trust_user_code", str(packed)]) == 0
    assert "5 files are as they were packed, 1 golden sample gives" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "[]"])
def test_verify_refuses_a_bundle_without_a_manifest(packed, capsys, content):
    (packed / "manifest.json").unlink()
    if content is not None:
        write(packed / "manifest.json", content)
    assert main(["bundle", "verify", "--trust_user_code", str(packed)]) == 1
    captured = capsys.readouterr()
    assert "has no manifest.json, or an empty one" in captured.err and captured.out == ""


def test_verify_notices_files_that_came_later(packed, capsys):
    write(packed / "src" / "__pycache__" / "mine.cpython-311.pyc", b"left by a program")
    assert main(["bundle", "verify", "--trust_user_code", str(packed)]) == 0
    write(packed / "src" / "more.py", "")
    assert main(["bundle", "verify", "--trust_user_code", str(packed)]) == 1
    assert "manifest.json does not list: src/more.py" in capsys.readouterr().err


def test_verify_notices_another_result(packed, capsys):
    path = packed / "golden" / "golden.json"
    content = json.loads(path.read_text())
    content["samples"][0]["output"]["hyp"] = "4.0"
    path.write_text(json.dumps(content))
    assert main(["bundle", "verify", "--trust_user_code", str(packed)]) == 1
    assert "manifest.json describes" in capsys.readouterr().err
    bundle.write_manifest(packed)
    assert main(["bundle", "verify", "--trust_user_code", str(packed)]) == 1
    assert "output.hyp is '3.0', recorded was '4.0'" in capsys.readouterr().err


def test_scan_lists_problems_and_needed_trust(packed, capsys):
    assert main(["bundle", "scan", str(packed)]) == 0
    out = capsys.readouterr().out
    assert "trust     model._target_: runs code of the bundle: src.mine.build" in out
    assert "no problems, loads only with trust_user_code" in out
    write(packed / "notes.md", "see /home/ada/exp\nkey hf_" + "a" * 20 + "\n")
    assert main(["bundle", "scan", str(packed)]) == 1
    out = capsys.readouterr().out
    for line in ("path      notes.md:1: somebody's home folder",
                 "secret    notes.md:2: Hugging Face token",
                 "manifest  notes.md: was put there after packing", "3 problems"):  # fmt: skip
        assert line in out
    assert "hf_a" not in out


def test_a_folder_that_is_no_bundle(tmp_path, capsys):
    for way in ("scan", "verify"):
        assert main(["bundle", way, str(tmp_path)]) == 1
        assert "is not a bundle" in capsys.readouterr().err


def test_a_file_that_is_no_archive(tmp_path, capsys):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    for way in ("scan", "verify"):
        assert main(["bundle", way, str(path)]) == 1
        assert "a.wav is a file, but no archive of a bundle (.zip," in capsys.readouterr().err


def test_archives_are_scanned_and_verified_like_folders(packed, capsys, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("ESPNET3_CACHE", str(tmp_path / "cache"))
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", packed)
    assert main(["bundle", "scan", archive]) == 0
    assert f"{archive}: no problems" in capsys.readouterr().out
    assert main(["bundle", "verify", "--trust_user_code", archive]) == 0
    assert f"{archive}: 5 files are" in capsys.readouterr().out
    assert main(["bundle", "scan", str(tmp_path / "modle.zip")]) == 1
    assert "no folder or archive" in capsys.readouterr().err
