from __future__ import annotations

import json
import logging
import os
import signal
from argparse import Namespace

import pytest
from omegaconf import OmegaConf

from espnet3.errors import ConfigError, StageError
from espnet3.utils.config_utils import load_config_with_defaults
from espnet3.utils.logging_utils import configure_logging
from espnet3.utils.stage_ranks import RUNNING_STAGE_VARIABLE
from espnet3.utils.stage_report import StageReport
from espnet3.utils.stages_utils import run_stages
from espnet3.utils.stop_signals import StageInterrupted, deferred_stop

pytestmark = pytest.mark.usefixtures("clean_logging")
STAGES = ["prepare", "train", "infer", "upload_model", "upload_demo"]


class Toy:
    """Two stages that say hello, each in a folder of its own."""

    def __init__(self, root):
        self.stage_log_dirs = {"default": root / "default", "train": root / "train"}
        self.calls = []

    def prepare(self):
        self.calls.append("prepare")
        logging.getLogger("toy").info("preparing")

    def train(self):
        self.calls.append("train")
        logging.getLogger("toy").info("training")

    def infer(self):
        raise TypeError("unexpected keyword argument 'oops'")

    def leaving(self):
        raise SystemExit(4)

    def interrupted(self):
        raise KeyboardInterrupt

    def demanding(self, size):
        self.calls.append(size)


@pytest.fixture
def toy(tmp_path):
    configure_logging()
    return Toy(tmp_path)


def test_stages_run_in_the_order_given(toy):
    run_stages(toy, ["train", "prepare"])
    assert toy.calls == ["train", "prepare"]


def test_a_report_that_cannot_be_written_hides_no_error(toy, monkeypatch, caplog):
    def fail(self, status, error=None):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StageReport, "finish", fail)
    with pytest.raises(TypeError, match="oops"):
        run_stages(toy, ["infer"])
    assert "the report of stage infer cannot be written: [Errno 28]" in caplog.text


def test_a_stage_that_leaves_the_program_says_where(toy, caplog):
    with pytest.raises(SystemExit):
        run_stages(toy, ["leaving"])
    assert "stage leaving: the program was left by SystemExit(4) in " in caplog.text
    assert "test_stages_utils.py:" in caplog.text


def test_each_stage_has_its_own_log_without_cross_talk(toy, tmp_path):
    run_stages(toy, ["train", "prepare"])
    logging.getLogger("toy").info("afterwards")
    train = (tmp_path / "train" / "train.log").read_text()
    prepare = (tmp_path / "default" / "prepare.log").read_text()
    assert "[train] === [START] stage: train ===" in train
    assert "[train] training" in train
    assert "[prepare] preparing" not in train
    assert "[prepare] preparing" in prepare
    assert "[prepare] === [DONE] stage: prepare (" in prepare
    assert "[train] training" not in prepare
    assert "afterwards" not in train + prepare


def test_a_stage_without_a_folder_writes_no_file(toy, tmp_path):
    toy.stage_log_dirs = {"train": tmp_path / "train", "default": None}
    run_stages(toy, ["train", "prepare"])
    assert [path.name for path in tmp_path.rglob("*.log")] == ["train.log"]
    assert "preparing" not in (tmp_path / "train" / "train.log").read_text()


def test_a_missing_method_is_found_before_anything_runs(toy):
    with pytest.raises(AttributeError, match="System has no stage method: export"):
        run_stages(toy, ["prepare", "export"])
    assert toy.calls == []


def test_a_stage_with_required_arguments_is_refused_before_anything_runs(toy):
    with pytest.raises(
        TypeError, match="Stage 'demanding' does not accept CLI arguments"
    ) as caught:
        run_stages(toy, ["prepare", "demanding"])
    assert "put all settings in the YAML config" in str(caught.value)
    assert toy.calls == []


def test_a_stage_that_a_call_would_not_run_is_refused_before_anything_runs(toy):
    async def export():
        pass

    def rows():
        yield 1

    toy.export, toy.rows = export, rows
    for stage in ("export", "rows"):
        with pytest.raises(TypeError, match=f"Stage '{stage}' of Toy would do nothing"):
            run_stages(toy, ["prepare", stage])
    assert toy.calls == []


def test_an_error_of_a_stage_arrives_unchanged_with_its_traceback_in_the_log(toy, tmp_path):
    with pytest.raises(TypeError) as caught:
        run_stages(toy, ["infer", "prepare"])
    assert str(caught.value) == "unexpected keyword argument 'oops'"
    assert not hasattr(caught.value, "__notes__")
    text = (tmp_path / "default" / "infer.log").read_text()
    assert "stage infer failed after" in text
    assert "Traceback (most recent call last)" in text
    assert toy.calls == []


def test_an_error_about_a_key_is_told_where_the_key_stands(toy, tmp_path):
    paths = {name: tmp_path / f"{name}.yaml" for name in ("training", "inference")}
    for path in paths.values():
        path.write_text("a: 1\nmodel:\n  size: -3\n")
    toy.training_config = load_config_with_defaults(paths["training"])
    toy.inference_config = load_config_with_defaults(paths["inference"])

    def notes(stage, error):
        def fail():
            raise error

        setattr(toy, stage, fail)
        with pytest.raises(ConfigError) as caught:
            run_stages(toy, [stage])
        assert caught.value is error
        return getattr(error, "__notes__", None)

    key = "model.size"
    assert notes("infer", ConfigError("no", key=key)) == [f"  set in {paths['inference']}:3"]
    assert notes("own", ConfigError("no", key=key)) == [f"  set in {paths['training']}:3"]
    assert notes("own", ConfigError("no", key=key, file="x.yaml")) is None
    assert notes("own", ConfigError("no", key="elsewhere.size")) is None
    assert notes("own", ConfigError("no")) is None


def test_an_interrupt_is_logged_and_passed_on(toy, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_stages(toy, ["interrupted"])
    assert "was interrupted" in (tmp_path / "default" / "interrupted.log").read_text()
    report = json.loads((tmp_path / "default" / "interrupted.run.json").read_text())
    assert report["status"] == "interrupted"


def test_no_stage_follows_one_that_noted_a_signal_too_late(toy):
    def train() -> None:
        with deferred_stop():
            os.kill(os.getpid(), signal.SIGUSR1)

    toy.train = train
    with pytest.raises(StageInterrupted, match="SIGUSR1"):
        run_stages(toy, ["train", "prepare"])
    assert toy.calls == []


def test_the_summary_names_what_ran_and_what_did_not(toy, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(TypeError):
        run_stages(toy, ["prepare", "infer", "train"])
    rows = [line.split()[:2] for line in caplog.records[-1].getMessage().splitlines()[2:]]
    assert rows == [["prepare", "done"], ["infer", "failed"], ["train", "not"]]


def test_a_dry_run_touches_nothing(toy, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run_stages(toy, ["prepare", "train"], args=Namespace(dry_run=True))
    assert toy.calls == []
    assert list(tmp_path.iterdir()) == []
    assert "[DRY RUN] would run stage: train" in caplog.text
    with pytest.raises(AttributeError):
        run_stages(toy, ["nothing"], args=Namespace(dry_run=True))


def test_the_json_report_says_how_a_stage_ended(toy, tmp_path):
    toy.training_config = OmegaConf.create({"seed": 7, "a": "${seed}"})
    with pytest.raises(TypeError):
        run_stages(toy, ["infer"])
    report = json.loads((tmp_path / "default" / "infer.run.json").read_text())
    assert report["status"] == "failed"
    assert report["exception"]["type"] == "TypeError"
    assert report["seed"] == 7
    assert report["packages"]["omegaconf"]
    snapshot = OmegaConf.load(tmp_path / "default" / "infer.config" / "training_config.yaml")
    assert snapshot == {"seed": 7, "a": 7}


def test_the_log_starts_with_command_environment_and_configs(toy, tmp_path):
    toy.training_config = OmegaConf.create({"seed": 7})
    toy.training_easy_config = {"password": "x", "size": 1}
    toy.broken_config = OmegaConf.create({"a": "${nowhere}"})
    run_stages(toy, ["prepare"])
    text = (tmp_path / "default" / "prepare.log").read_text()
    assert text.count("Command: ") == 1
    assert text.count("Cluster env:") == 1
    assert "Training config content:\nseed: 7" in text
    assert "Training Easy config content:\npassword: '***'\nsize: 1" in text
    assert "broken_config is logged unresolved" in text


def test_the_stage_is_published_to_child_processes_while_it_runs(toy):
    toy.train = lambda: toy.calls.append(os.environ[RUNNING_STAGE_VARIABLE])
    run_stages(toy, ["train"])
    assert toy.calls == ["train"]
    assert RUNNING_STAGE_VARIABLE not in os.environ


def test_a_child_rank_runs_exactly_the_stage_it_was_started_for(toy, monkeypatch, tmp_path):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv(RUNNING_STAGE_VARIABLE, "prepare")
    run_stages(toy, ["prepare", "train"])
    assert toy.calls == ["prepare"]
    assert list(tmp_path.rglob("*.log")) == []


def test_a_further_rank_runs_only_distributed_stages(toy, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "3")
    run_stages(toy, ["prepare", "train"])
    assert toy.calls == ["train"]


def test_a_rank_variable_that_is_no_number_is_ignored(toy, monkeypatch):
    monkeypatch.setenv("RANK", "none")
    run_stages(toy, ["prepare"])
    assert toy.calls == ["prepare"]


@pytest.mark.parametrize(("rank", "name"), [("0", "train_rank0.log"), ("2", "train_rank2.log")])
def test_per_rank_logs_carry_the_rank(toy, monkeypatch, tmp_path, rank, name):
    monkeypatch.setenv("RANK", rank)
    toy.training_config = OmegaConf.create({"stage_log_mode": "PER_RANK"})
    run_stages(toy, ["train"])
    assert [path.name for path in tmp_path.rglob("*.log")] == [name]


def test_an_unknown_log_mode_is_reported_and_rank0_used(toy, tmp_path):
    toy.training_config = OmegaConf.create({"stage_log_mode": "all"})
    run_stages(toy, ["train"])
    text = (tmp_path / "train" / "train.log").read_text()
    assert "Unknown stage_log_mode='all'" in text


def test_a_text_is_one_stage(toy):
    run_stages(toy, "prepare")
    assert toy.calls == ["prepare"]


def test_a_log_folder_that_cannot_be_made_names_the_stage(toy, tmp_path):
    (tmp_path / "taken").write_text("")
    toy.stage_log_dirs = {"default": tmp_path / "taken"}
    with pytest.raises(StageError, match="stage prepare cannot open its log in .*taken"):
        run_stages(toy, "prepare")
    assert toy.calls == []
