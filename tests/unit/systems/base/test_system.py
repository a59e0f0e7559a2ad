from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.errors import ConfigError
from espnet3.systems.base import system as system_module
from espnet3.systems.base.system import BaseSystem
from espnet3.utils import publish_utils
from espnet3.utils.dry_run import dry_run_scope

STAGES = [
    "create_dataset",
    "collect_stats",
    "train",
    "infer",
    "measure",
    "pack_model",
    "upload_model",
    "pack_demo",
    "upload_demo",
]


@pytest.fixture
def training_config(tmp_path):
    return OmegaConf.create(
        {
            "exp_dir": str(tmp_path / "exp" / "base"),
            "data_dir": str(tmp_path / "data"),
            "stats_dir": str(tmp_path / "stats"),
            "stage_log_mode": "rank0",
        }
    )


@pytest.mark.parametrize("stage", STAGES)
def test_stages_reject_arguments_also_through_a_subclass(stage):
    class Sub(BaseSystem):
        pass

    def forwarding(self):
        return getattr(super(Sub, self), stage)(extra=1)

    setattr(Sub, stage, forwarding)
    with pytest.raises(TypeError, match=f"Stage '{stage}' does not accept arguments.*YAML"):
        getattr(BaseSystem(), stage)("x")
    with pytest.raises(TypeError, match=f"Stage '{stage}' does not accept arguments"):
        getattr(Sub(), stage)()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_without_its_slot_names_stage_and_slot(stage):
    with pytest.raises(RuntimeError, match=f"stage {stage} needs \\w+_config, which is None"):
        getattr(BaseSystem(), stage)()


@pytest.mark.parametrize(
    ("stage", "target", "slot"),
    [
        ("collect_stats", "collect_stats", "training_config"),
        ("train", "train", "training_config"),
        ("infer", "infer", "inference_config"),
        ("measure", "measure", "metrics_config"),
    ],
)
def test_a_stage_hands_the_very_config_to_its_target_and_returns_its_value(
    monkeypatch, training_config, stage, target, slot
):
    received = []
    monkeypatch.setattr(system_module, target, lambda config: received.append(config) or "value")
    system = BaseSystem(**{slot: training_config})
    assert getattr(system, slot) is training_config
    assert getattr(system, stage)() == "value"
    assert received == [training_config]
    assert received[0] is training_config


def test_create_dataset_uses_the_module_loader_of_this_module(monkeypatch, training_config):
    class Module:
        __name__ = "m"

    calls = []
    monkeypatch.setattr(
        system_module, "load_dataset_module", lambda **kw: calls.append(kw) or Module()
    )
    config = OmegaConf.merge(training_config, {"dataset": {"train": [{"data_src": "x.y"}]}})
    assert BaseSystem(config).create_dataset() is None
    assert calls == [{"data_src": "x.y", "recipe_dir": None}]


def test_the_seed_construction_with_a_log_mapping(tmp_path, training_config):
    infer_config = OmegaConf.create({"inference_dir": str(tmp_path / "inference")})
    system = BaseSystem(
        training_config=training_config,
        inference_config=infer_config,
        metrics_config=infer_config,
        stage_log_mapping={
            "infer": "training_config.exp_dir",
            "measure": "training_config.exp_dir",
        },
    )
    assert system.stage_log_dirs["infer"] == system.exp_dir
    assert system.stage_log_dirs["measure"] == system.exp_dir


def test_default_log_folders_and_the_stages_that_fall_back(training_config):
    folders = BaseSystem(training_config).stage_log_dirs
    exp_dir = Path(training_config.exp_dir)
    assert folders == {
        "default": exp_dir,
        "create_dataset": Path(training_config.data_dir),
        "collect_stats": Path(training_config.stats_dir),
        "train": exp_dir,
        "pack_model": exp_dir,
        "upload_model": exp_dir,
    }


def test_without_training_config_logs_go_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert BaseSystem().stage_log_dirs == {"default": tmp_path / "logs"}
    assert list(tmp_path.iterdir()) == []


def test_slots_that_are_set_late_count_for_log_folders():
    system = BaseSystem(stage_log_mapping={"train_easy": "training_easy_config.exp_dir"})
    assert "train_easy" not in system.stage_log_dirs
    system.training_easy_config = OmegaConf.create({"exp_dir": "exp/easy"})
    assert system.stage_log_dirs["train_easy"] == Path("exp/easy")


def test_positional_slots_keep_their_order(training_config):
    system = BaseSystem(training_config, 1, 2, 3, {"a": Path("b")}, 4)
    slots = (system.inference_config, system.metrics_config, system.publication_config)
    assert slots == (1, 2, 3)
    assert system.demo_config == 4
    assert system.stage_log_dirs["a"] == Path("b")


def test_further_config_keywords_are_stored_and_others_refused():
    assert BaseSystem(export_config={"a": 1}).export_config == {"a": 1}
    with pytest.raises(TypeError, match="exports"):
        BaseSystem(exports={"a": 1})


def test_aliases_read_and_write_through(training_config):
    system = BaseSystem(training_config)
    system.train_config = OmegaConf.create({"exp_dir": "other"})
    assert system.training_config.exp_dir == "other"
    assert system.train_config is system.training_config
    system.infer_config = 5
    assert system.inference_config == system.infer_config == 5


def test_exp_dir_is_created_but_not_in_a_dry_run(training_config):
    exp_dir = Path(training_config.exp_dir)
    with dry_run_scope(True):
        assert BaseSystem(training_config).exp_dir == exp_dir
    assert not exp_dir.exists()
    BaseSystem(training_config)
    assert exp_dir.is_dir()


@pytest.mark.parametrize("config", [{}, {"exp_dir": None}, {"exp_dir": " "}, {"exp_dir": "???"}])
def test_a_training_config_needs_an_exp_dir(config):
    with pytest.raises(ValueError, match="training_config.exp_dir"):
        BaseSystem(OmegaConf.create(config))


@pytest.mark.parametrize("tag", [None, "None"])
def test_a_folder_called_none_is_never_made(tmp_path, tag):
    config = OmegaConf.create({"exp_tag": tag, "exp_dir": f"{tmp_path}/${{exp_tag}}/a"})
    with pytest.raises(ConfigError, match=r"training_config\.exp_dir.*'None'"):
        BaseSystem(config)
    assert not any(tmp_path.iterdir())


def test_a_path_in_place_of_a_config_is_named():
    with pytest.raises(ConfigError, match="load_and_merge_config"):
        BaseSystem("conf/training.yaml")


def test_a_slot_under_both_of_its_names_is_refused(training_config):
    assert BaseSystem(train_config=training_config).training_config is training_config
    with pytest.raises(TypeError, match="train_config"):
        BaseSystem(training_config, train_config=training_config)


@pytest.mark.parametrize("stage", ["pack_model", "upload_model"])
def test_publication_stages_go_through_the_doorway(monkeypatch, training_config, stage):
    monkeypatch.setattr(publish_utils, stage, lambda system: system)
    system = BaseSystem(training_config, publication_config={"a": 1})
    assert getattr(system, stage)() is system


@pytest.mark.parametrize("stage", ["pack_demo", "upload_demo"])
def test_demo_stages_hand_the_system_over(monkeypatch, stage):
    monkeypatch.setattr(f"espnet3.demo.pack.{stage}", lambda system: system)
    system = BaseSystem(demo_config={"a": 1})
    assert getattr(system, stage)() is system


def test_the_construction_is_logged_in_one_line(caplog, training_config):
    caplog.set_level("INFO")
    BaseSystem(training_config, metrics_config={"a": 1})
    assert caplog.messages == [
        f"system=BaseSystem slots=training,metrics exp_dir={training_config.exp_dir}"
    ]


@pytest.mark.parametrize("name", ["trainig_config", "metric_config", "infernce_config"])
def test_a_misspelt_slot_is_refused(name):
    with pytest.raises(TypeError, match="did you mean"):
        BaseSystem(**{name: {"a": 1}})


@pytest.mark.parametrize("name", ["training_easy_config", "training2_config", "retraining_config"])
def test_a_slot_named_after_a_standard_one_is_kept(name):
    assert getattr(BaseSystem(**{name: {"a": 1}}), name) == {"a": 1}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"task": "a.Task"}, "task=a.Task"),
        ({"model": {"_target_": "a.Model"}}, "model._target_=a.Model"),
    ],
)
def test_the_log_of_training_names_what_builds_the_model(
    training_config, monkeypatch, caplog, model, said
):
    monkeypatch.setattr(system_module, "train", lambda config: None)
    caplog.set_level("INFO")
    BaseSystem(training_config=OmegaConf.create({**training_config, **model})).train()
    assert any(said in message and "None" not in message for message in caplog.messages)
