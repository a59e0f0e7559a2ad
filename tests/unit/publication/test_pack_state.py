from __future__ import annotations

import logging
import os
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from espnet3.demo.pack import pack_demo
from espnet3.demo.record import RECORD_FILE
from espnet3.publication import pack_state
from espnet3.utils import publish_utils
from tests.unit.publication.conftest import write


def stamps(root):
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def packed(recipe):
    recipe.pack()
    return recipe


def test_packing_again_without_a_change_touches_nothing(packed, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    # Scoring again writes the same scores at another time.
    os.utime(packed.exp_dir / "inference" / "metrics.json", ns=(1, 1))
    monkeypatch.setattr(publish_utils, "_hf_username", lambda: pytest.fail("asked the Hub"))
    before = stamps(packed.out_dir)
    assert packed.pack() == packed.out_dir
    assert stamps(packed.out_dir) == before
    assert "up to date" in caplog.text
    assert not list(packed.out_dir.rglob("*.pack.json"))


CHANGES = {
    "weights": lambda r: os.utime(r.exp_dir / "valid.loss.ave.pth", ns=(1, 1)),
    "code": lambda r: write(r.root / "src" / "more.py", "x = 1\n"),
    "config": lambda r: r.training.update(note="other"),
    "setting": lambda r: r.pack_model.update(readme_context={"license": "mit"}),
    "scores": lambda r: write(r.exp_dir / "inference" / "metrics.json", "{}"),
    "extra file in the bundle": lambda r: write(r.out_dir / "stale.txt", "x"),
    "edited bundle": lambda r: write(r.out_dir / "README.md", "mine"),
    "lost file of the bundle": lambda r: (r.out_dir / "run.py").unlink(),
    "lost record": lambda r: pack_state.state_file(r.out_dir).unlink(),
    "damaged record": lambda r: pack_state.state_file(r.out_dir).write_text("["),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_packed(packed, change):
    before = stamps(packed.out_dir)
    CHANGES[change](packed)
    packed.pack()
    assert stamps(packed.out_dir) != before
    assert (packed.out_dir / "run.py").is_file()
    assert not (packed.out_dir / "stale.txt").exists()
    assert (packed.out_dir / "README.md").read_text() != "mine"


def test_another_commit_is_another_bundle(packed, monkeypatch):
    monkeypatch.setattr(publish_utils, "_git_info", lambda: {"head": "def456", "dirty": "clean"})
    assert "def456" in (packed.pack() / "README.md").read_text()


def test_a_packed_demo_is_not_packed_into_the_model(packed, caplog):
    caplog.set_level(logging.INFO)
    demo = {
        "system": "asr",
        "recipe_dir": str(packed.root),
        "model": {"dir_or_tag": str(packed.out_dir), "trust_user_code": True},
        "pack": {"out_dir": str(packed.exp_dir / "demo")},
    }
    slots = {"demo_config": OmegaConf.create(demo), "demo_config_path": None, "exp_dir": None}
    pack_demo(SimpleNamespace(**slots, publication_config=None))
    assert (packed.exp_dir / "demo" / RECORD_FILE).is_file()
    before = stamps(packed.out_dir)
    packed.pack()
    assert stamps(packed.out_dir) == before
    assert "up to date" in caplog.text
    elsewhere = packed.root.parent / "elsewhere"
    packed.pack_model["out_dir"] = str(elsewhere)
    packed.pack()
    held = {p.relative_to(elsewhere).as_posix() for p in elsewhere.rglob("*")}
    assert not [name for name in held if "demo" in name or "model_pack" in name]
