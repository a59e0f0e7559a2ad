from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

import espnet3
from espnet3.utils.config_utils import load_and_merge_config
from espnet3.utils.stage_report import StageReport, format_summary, note_stop, snapshot_yaml
from tests.conftest import REPO_ROOT

SHIPPED = [
    path
    for path in sorted(REPO_ROOT.glob("egs3/*/asr*/conf/training*.yaml"))
    if "TEMPLATE" not in path.parts and path.stem != "training_common"  # a part of others
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: "/".join(p.parts[-4:]))
def test_snapshots_of_shipped_configs_load_to_the_same(path, tmp_path):
    source = load_and_merge_config(path, "training.yaml", "egs3.TEMPLATE.asr")
    snapshot = tmp_path / "training_config.yaml"
    snapshot.write_text(snapshot_yaml(source, "training_config"))
    again = load_and_merge_config(snapshot, "training.yaml", "egs3.TEMPLATE.asr")
    assert OmegaConf.to_container(again) == OmegaConf.to_container(source, resolve=True)


def test_the_report_holds_what_the_stage_ran_on_and_no_secret(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["run.py", "--set", "demo.api_token=abcdefghijklmnop0123"])
    file = tmp_path / "training.yaml"
    file.write_text("seed: 3\n")
    system = SimpleNamespace(
        training_easy_config=OmegaConf.create({"seed": 3, "password": "hunter2"}),
        config_paths={"training_easy_config": file},
    )
    report = StageReport("train_easy", system, tmp_path / "train_easy.log")
    report.start()
    running = json.loads((tmp_path / "train_easy.run.json").read_text())
    assert running["status"] == "running"
    report.finish("failed", ValueError("cannot reach https://me:hunter2@example.org/x"))
    done = json.loads((tmp_path / "train_easy.run.json").read_text())
    assert done["status"] == "failed"
    assert done["exception"] == {
        "type": "ValueError",
        "message": "cannot reach https://example.org/x",
    }
    expected = {"stage", "system", "started", "ended", "seconds", "argv", "cwd", "host", "python"}
    assert done.keys() >= expected | {"packages", "git", "gpus", "configs", "overrides", "seed"}
    assert done["seed"] == 3
    assert done["packages"]["espnet3"] == espnet3.__version__
    assert len(done["configs"]["training_easy_config"]["sha256"]) == 64
    written = "".join(path.read_text() for path in tmp_path.rglob("train_easy.*") if path.is_file())
    snapshot = (tmp_path / "train_easy.config" / "training_easy_config.yaml").read_text()
    for secret in ("hunter2", "abcdefghijklmnop0123"):
        assert secret not in written + snapshot


def test_a_snapshot_of_an_earlier_run_does_not_outlive_its_slot(tmp_path):
    log = tmp_path / "s.log"
    StageReport("s", SimpleNamespace(a_config={"x": 1}), log).start()
    assert (tmp_path / "s.config" / "a_config.yaml").exists()
    StageReport("s", SimpleNamespace(), log).start()
    assert not (tmp_path / "s.config").exists()


def test_a_stop_in_order_is_no_plain_done():
    note_stop("outside of a stage nobody is told")
    stopped, done = (StageReport(name, SimpleNamespace(), None) for name in ("a", "b"))
    stopped.start()
    note_stop("time is up")
    stopped.finish("done")
    note_stop("too late")
    done.start()
    done.finish("done")
    assert (stopped.status, done.status) == ("stopped", "done")
    rows = format_summary([stopped, done], ["a", "b", "c"]).splitlines()
    assert rows[2].strip() == "time is up"
    assert rows[-1].split()[:3] == ["c", "not", "run"]
