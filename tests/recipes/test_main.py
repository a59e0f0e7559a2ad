"""`main` called from Python: order, guards, slots and names."""

from __future__ import annotations

import logging
from argparse import Namespace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError

from egs3.TEMPLATE.asr.run import ALL_STAGES, DEFAULT_STAGES, DEMO_STAGES, build_parser, main
from espnet3.systems.asr.system import ASRSystem

pytestmark = pytest.mark.usefixtures("in_process")


class Recording(ASRSystem):
    """Notes the order of stages and what they were given."""

    instances: list[Recording] = []

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.ran = []
        self.instances.append(self)

    def train(self):
        self.ran.append("train")

    def infer(self):
        self.ran.append("infer")

    def measure(self):
        self.ran.append("measure")

    def export(self):
        self.ran.append("export")


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """Work in an empty recipe folder and write configurations into it."""
    monkeypatch.chdir(tmp_path)
    Recording.instances.clear()

    def write(name, text=""):
        path = Path("conf") / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


INFERENCE = "output_fn: null\n"
METRICS = "metrics: []\n"


def test_the_template_has_the_documented_stages():
    assert DEFAULT_STAGES == [
        "create_dataset",
        "train_tokenizer",
        "collect_stats",
        "train",
        "infer",
        "measure",
        "pack_model",
        "upload_model",
    ]
    assert DEMO_STAGES == ["pack_demo", "upload_demo"]
    assert ALL_STAGES == DEFAULT_STAGES + DEMO_STAGES
    assert all(callable(getattr(ASRSystem, stage)) for stage in ALL_STAGES)


def test_stages_run_in_list_order_with_names_from_training(conf):
    args = Namespace(
        stages=["measure", "train", "infer"],
        training_config=conf("training_big", "trainer: {max_epochs: 3}\n"),
        inference_config=conf("beam5", INFERENCE + "exp_tag: other\n"),
        metrics_config=conf("metrics", METRICS),
    )
    main(args=args, system_cls=Recording)
    (system,) = Recording.instances
    assert system.ran == ["train", "infer", "measure"]
    assert system.exp_dir == Path("exp/training_big")
    assert system.inference_config.inference_dir == "./exp/training_big/beam5"
    assert system.metrics_config.inference_dir == "./exp/training_big/beam5"
    assert system.training_config.trainer.max_epochs == 3
    assert system.training_config.trainer.gradient_clip_val == 1.0
    assert system.config_paths["inference_config"] == Path("conf/beam5.yaml").absolute()


def test_inference_alone_needs_a_name_of_its_own(conf):
    args = Namespace(stages=["infer"], inference_config=conf("inference", INFERENCE))
    with pytest.raises(ValueError, match="^infer stage requires --training_config"):
        main(args=args, system_cls=Recording)
    assert not Path("exp").exists()
    conf("inference", INFERENCE + "exp_tag: beam5\n")
    main(args=args, system_cls=Recording)
    assert Recording.instances[0].inference_config.inference_dir == "./exp/beam5/inference"


def test_a_namespace_without_the_newer_attributes_is_enough(conf):
    main(args=Namespace(stages=["train"], training_config=conf("t")), system_cls=Recording)
    assert Recording.instances[0].ran == ["train"]


def test_a_notebook_may_give_single_words_as_they_are(conf):
    args = Namespace(stages="train", training_config=conf("t"), set="training.seed=5")
    main(args=args, system_cls=Recording)
    assert Recording.instances[0].ran == ["train"]
    assert Recording.instances[0].training_config.seed == 5


def test_the_stage_list_comes_from_the_parser(conf):
    stages = ["train", "export"]
    args = build_parser(stages).parse_args(["--training_config", str(conf("t"))])
    main(args=args, system_cls=Recording)
    assert Recording.instances[0].ran == stages


def test_an_unknown_stage_is_a_value_error(conf):
    with pytest.raises(ValueError, match=r"unknown stage\(s\): export"):
        main(args=Namespace(stages=["export"]), system_cls=Recording)


def test_implied_stages_leave_publishing_out(conf, caplog):
    caplog.set_level(logging.INFO)
    args = Namespace(stages=["all"], training_config=conf("t"))
    main(args=args, system_cls=Recording, stages=["train", "upload_model"])
    assert Recording.instances[0].ran == ["train"]
    assert "publishing needs its stage's name: upload_model" in caplog.text


def test_the_guard_names_stages_in_run_order_and_loads_nothing(conf):
    args = Namespace(stages=["measure", "train", "pack_model"], training_config=Path("none.yaml"))
    with pytest.raises(ValueError) as caught:
        main(args=args, system_cls=Recording)
    assert str(caught.value) == (
        "Config not provided for stage(s): measure, pack_model. Use --training_config/"
        "--inference_config/--metrics_config/--publication_config/--demo_config."
    )


def test_a_file_that_does_not_exist_is_reported(conf):
    args = Namespace(stages=["train"], training_config=Path("conf/none.yaml"))
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        main(args=args, system_cls=Recording)


def test_an_unknown_interpolation_is_reported(conf):
    args = Namespace(stages=["train"], training_config=conf("t", "data_dir: ${nowhere}\n"))
    with pytest.raises(InterpolationKeyError, match="nowhere"):
        main(args=args, system_cls=Recording)
    assert not Path("exp").exists()


def test_an_extra_slot_reaches_a_system_that_takes_any(conf):
    args = Namespace(stages=["export"], export_config=conf("export", "a: ${b}\nb: 3\n"))
    main(
        args=args,
        system_cls=Recording,
        stages=["export"],
        extra_configs={"export_config": None},
        required_configs={"export": "export_config"},
    )
    assert Recording.instances[0].export_config == {"a": 3, "b": 3}


def test_a_required_extra_slot_is_named_by_its_flag(conf):
    with pytest.raises(ValueError, match=r"stage\(s\): export\. Use --export_config\.$"):
        main(
            args=Namespace(stages=["export"]),
            system_cls=Recording,
            stages=["export"],
            extra_configs={"export_config": None},
            required_configs={"export": "export_config"},
        )


def test_a_file_for_a_slot_that_the_system_lacks_is_refused(conf):
    class Narrow(Recording):
        def __init__(self, training_config=None):
            super().__init__(training_config=training_config)

    args = Namespace(
        stages=["train"], training_config=conf("t"), metrics_config=conf("metrics", METRICS)
    )
    with pytest.raises(ValueError, match="--metrics_config was given, but Narrow takes no"):
        main(args=args, system_cls=Narrow)
    args.metrics_config = None
    main(args=args, system_cls=Narrow)


def test_a_training_stage_after_infer_is_worth_a_warning(conf, caplog):
    class Late(Recording):
        def train_more(self):
            pass

    args = Namespace(
        stages=["infer", "train_more"],
        training_config=conf("t"),
        inference_config=conf("inference", INFERENCE),
    )
    main(args=args, system_cls=Late, stages=["infer", "train_more"])
    assert "train_more will run after infer" in caplog.text


def test_a_system_of_another_family_may_have_no_log_mapping(conf, tmp_path):
    class Plain:
        stage_log_mapping = None
        ran = False

        def __init__(self, training_config):
            self.stage_log_dirs = {"default": tmp_path / "logs"}

        def train(self):
            Plain.ran = True

    main(args=Namespace(stages=["train"], training_config=conf("t")), system_cls=Plain)
    assert Plain.ran


def test_configs_are_the_same_before_and_after_a_stage(conf):
    class Greedy(Recording):
        def train(self):
            self.before = OmegaConf.to_yaml(self.training_config)
            super().train()

    main(args=Namespace(stages=["train"], training_config=conf("t")), system_cls=Greedy)
    system = Recording.instances[0]
    assert OmegaConf.to_yaml(system.training_config) == system.before


def test_every_template_file_loads_and_resolves_under_strict(conf, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").write_text("")
    (tmp_path / "src" / "inference.py").write_text("def build_output():\n    pass\n")
    slots = ("training", "inference", "metrics", "publication", "demo")
    paths = {f"{slot}_config": conf(slot, "strict: true\n") for slot in slots}
    main(args=Namespace(stages=["train"], **paths), system_cls=Recording)
    system = Recording.instances[0]
    assert system.publication_config.pack_model.out_dir == "./exp/training/model_pack"
    assert system.metrics_config.inference_dir == "./exp/training/inference"
    assert system.demo_config_path == Path("conf/demo.yaml").absolute()
