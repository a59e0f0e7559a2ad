from __future__ import annotations

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from espnet3.errors import BundleError
from espnet3.systems.base.publication_plan import plan_pack_model, plan_upload_model
from espnet3.utils import publish_utils


def test_the_plan_counts_what_is_packed_and_lists_what_would_be_uploaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exp = tmp_path / "exp"
    exp.mkdir()
    (exp / "notes.txt").write_text("1234")
    system = SimpleNamespace(
        training_config=OmegaConf.create({"exp_dir": "exp"}),
        publication_config=OmegaConf.create(
            {"pack_model": {"out_dir": "exp/pack"}, "upload_model": {"hf_repo": "me/it"}}
        ),
    )
    plan = plan_pack_model(system)
    assert (plan.state, plan.why) == ("would run", "writes a bundle")
    assert plan.notes == (
        "copies 1 more files, 4 B",
        "the model card gets no results: there are no scores yet",
    )
    assert str(plan.outputs[0]) == "exp/pack"
    with pytest.raises(BundleError, match="Model pack not found"):
        plan_upload_model(system)

    out_dir = publish_utils.pack_model(system)
    assert "replaces the bundle" in plan_pack_model(system).why
    plan = plan_upload_model(system)
    assert plan.state == "would run"
    sizes = {p.relative_to(out_dir).as_posix(): p.stat().st_size for p in out_dir.rglob("*.*")}
    assert dict(plan.uploads)["exp/notes.txt"] == 4
    assert all(sizes[name] == size for name, size in plan.uploads)
    assert plan.notes[0].startswith(f"{len(plan.uploads)} files for me/it, ")
    system.publication_config.upload_model.hf_repo = "your-name/it"
    refused = plan_upload_model(system)
    assert (refused.state, refused.is_final) == ("would fail", True)
    assert "placeholder" in refused.why


def test_what_earlier_stages_make_is_a_note_of_the_plan(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    system = SimpleNamespace(
        training_config=OmegaConf.create({"exp_dir": "exp"}),
        publication_config=OmegaConf.create({"pack_model": {"out_dir": "exp/pack"}}),
    )
    assert "does not exist yet: exp" in plan_pack_model(system).notes
    assert caplog.text == ""
