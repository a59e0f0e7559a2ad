from __future__ import annotations

from pathlib import Path

import pytest

from espnet3.errors import BundleError
from espnet3.systems.base.demo_plan import plan_pack_demo, plan_upload_demo
from tests.unit.demo.conftest import make_system


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "infer.yaml").write_text("model: {_target_: a.B}\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text("abc")


def system(**upload):
    pack = {"out_dir": "demo", "files": ["more"]}
    config = {"system": "asr", "infer_config": "infer.yaml", "pack": pack, "upload_demo": upload}
    return make_system(config)


def test_packing_says_what_it_would_copy_and_writes_nothing():
    plan = plan_pack_demo(system())
    assert (plan.why, plan.outputs) == ("writes a demo", (Path("demo"),))
    assert plan.notes[0].startswith("copies 1 files, 3")
    assert not Path("demo").exists()
    Path("demo").mkdir()
    assert plan_pack_demo(system()).why == "replaces what it packed"


def test_uploading_lists_files_and_knows_what_can_never_work():
    with pytest.raises(BundleError, match="Demo pack not found"):
        plan_upload_demo(system(hf_repo="ada/digits"))
    Path("demo").mkdir()
    Path("demo/app.py").write_text("x")
    assert plan_upload_demo(system(hf_repo="ada/digits")).uploads == (("app.py", 1),)
    refused = plan_upload_demo(system(hf_repo="your-name/x"))
    assert (refused.state, refused.is_final) == ("would fail", True)
