"""Two training phases as two stages of one recipe; the shipped one is in the next module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from egs3.TEMPLATE.asr.run import (
    DEFAULT_STAGES,
    DEMO_STAGES,
    build_parser,
    main,
    parse_cli_and_stage_args,
)
from espnet3.systems.asr.system import ASRSystem
from espnet3.utils.config_utils import load_config_with_defaults
from espnet3.utils.stage_ranks import RUNNING_STAGE_VARIABLE

pytestmark = pytest.mark.usefixtures("in_process")

trained: list[tuple[str, str]] = []
systems: list[CurriculumSystem] = []


def train(config):
    trained.append((config.exp_tag, config.exp_dir))
    if config.exp_tag == "broken":
        raise RuntimeError("diverged")


class CurriculumSystem(ASRSystem):
    DISTRIBUTED_STAGES = ("train_easy", "train_full")
    LOGS = {"train_easy": "training_easy_config.exp_dir"}

    def __init__(
        self,
        training_easy_config=None,
        training_full_config=None,
        inference_config=None,
        metrics_config=None,
        publication_config=None,
        demo_config=None,
    ):
        super().__init__(
            training_config=training_full_config,
            inference_config=inference_config,
            metrics_config=metrics_config,
            publication_config=publication_config,
            demo_config=demo_config,
            stage_log_mapping=self.LOGS,
        )
        self.training_easy_config = training_easy_config
        self.training_full_config = training_full_config
        systems.append(self)

    def train_easy(self):
        original = self.training_config
        self.training_config = self.training_easy_config
        try:
            assert self.train_config is self.training_easy_config
            return train(self.training_config)
        finally:
            self.training_config = original

    def train_full(self):
        original = self.training_config
        self.training_config = self.training_full_config
        try:
            return train(self.training_config)
        finally:
            self.training_config = original

    def create_dataset(self):
        trained.append(("create_dataset", self.training_config.exp_dir))

    def infer(self):
        trained.append(("infer", self.inference_config.exp_dir))


STAGES = [
    *("create_dataset", "train_tokenizer", "collect_stats", "train_easy", "train_full"),
    *DEFAULT_STAGES[4:],
    *DEMO_STAGES,
]
EXTRA = {"training_easy_config": "training.yaml", "training_full_config": "training.yaml"}
FULL = ("create_dataset", "train_tokenizer", "collect_stats", "train_full")
NEEDS = {
    "train_easy": "training_easy_config",
    **dict.fromkeys(FULL, "training_full_config"),
    "pack_model": ("training_full_config", "publication_config"),
}
EASY_FLAG = ("--training_easy_config", "conf/training_easy.yaml")
FULL_FLAG = ("--training_full_config", "conf/training_full.yaml")


@pytest.fixture(autouse=True)
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    Path("conf").mkdir()
    Path("conf/training_easy.yaml").write_text("trainer: {max_epochs: 2}\n")
    Path("conf/training_full.yaml").write_text("trainer: {max_epochs: 9}\n")
    Path("conf/inference.yaml").write_text("output_fn: null\n")
    trained.clear()
    systems.clear()
    return tmp_path


def run(monkeypatch, *words, **options):
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    parser = build_parser(STAGES)
    parser.add_argument("--training_easy_config", type=Path, default=None)
    parser.add_argument("--training_full_config", type=Path, default=None)
    args, _ = parse_cli_and_stage_args(parser, STAGES)
    main(
        args=args,
        system_cls=CurriculumSystem,
        stages=STAGES,
        extra_configs=EXTRA,
        required_configs=NEEDS,
        **options,
    )


def test_the_easy_phase_needs_only_its_own_config(monkeypatch):
    run(monkeypatch, "--stages", "train_easy", *EASY_FLAG)
    assert trained == [("training_easy", "./exp/training_easy")]
    (system,) = systems
    assert system.exp_dir is None
    assert system.training_easy_config.trainer.max_epochs == 2
    assert system.training_easy_config.optimizer.lr == 0.002
    assert system.training_config is None
    log = Path("exp/training_easy/train_easy.log").read_text()
    assert "Training Easy config content:" in log


def test_the_full_phase_writes_to_its_own_folder(monkeypatch):
    run(monkeypatch, "--stages", "train_full", *FULL_FLAG)
    assert trained == [("training_full", "./exp/training_full")]
    assert Path("exp/training_full/train_full.log").is_file()


def test_phases_run_in_list_order_and_leave_configs_unchanged(monkeypatch):
    run(monkeypatch, "--stages", "train_full", "train_easy", *EASY_FLAG, *FULL_FLAG)
    assert [tag for tag, _ in trained] == ["training_easy", "training_full"]
    (system,) = systems
    assert system.training_config is system.training_full_config
    easy = Path("exp/training_easy/train_easy.config/training_easy_config.yaml")
    assert load_config_with_defaults(easy) == OmegaConf.to_container(system.training_easy_config)


def test_a_missing_config_names_stage_and_flag(monkeypatch):
    with pytest.raises(ValueError, match=r"stage\(s\): train_easy\. Use --training_easy_config\."):
        run(monkeypatch, "--stages", "train_easy", *FULL_FLAG)
    with pytest.raises(ValueError, match="create_dataset.*--training_full_config"):
        run(monkeypatch, "--stages", "create_dataset", *EASY_FLAG)


def test_the_original_config_is_back_after_a_failed_phase(monkeypatch):
    Path("conf/training_easy.yaml").write_text("exp_tag: broken\n")
    with pytest.raises(RuntimeError, match="^diverged$"):
        run(monkeypatch, "--stages", "train_easy", *EASY_FLAG, *FULL_FLAG)
    (system,) = systems
    assert system.training_config is system.training_full_config


def test_a_phase_can_name_the_experiment_for_inference(monkeypatch):
    words = ("--inference_config", "conf/inference.yaml", *FULL_FLAG)
    run(monkeypatch, "--stages", "infer", *words, naming_source="training_full_config")
    assert trained == [("infer", "./exp/training_full")]


def test_without_naming_source_inference_needs_its_own_name(monkeypatch):
    words = ("--inference_config", "conf/inference.yaml", *FULL_FLAG)
    with pytest.raises(ValueError, match="infer stage requires --training_config"):
        run(monkeypatch, "--stages", "infer", *words)


def test_demo_config_reaches_the_base_system():
    assert CurriculumSystem(demo_config={"a": 1}).demo_config == {"a": 1}


def test_set_reaches_an_extra_slot(monkeypatch):
    words = ("--set", "training_easy.trainer.max_epochs=4")
    run(monkeypatch, "--stages", "train_easy", *EASY_FLAG, *words)
    assert systems[0].training_easy_config.trainer.max_epochs == 4


@pytest.mark.parametrize(
    ("words", "folder"), [((*EASY_FLAG, *FULL_FLAG), "exp/training_full"), (EASY_FLAG, "logs")]
)
def test_without_a_mapping_a_phase_logs_to_the_default_folder(monkeypatch, words, folder):
    monkeypatch.setattr(CurriculumSystem, "LOGS", None)
    run(monkeypatch, "--stages", "train_easy", *words)
    log = Path(folder, "train_easy.log").read_text()
    assert "Training Easy config content:" in log
    assert ("Training Full config content:" in log) == (FULL_FLAG[0] in words)


def test_the_data_stages_work_on_the_full_config(monkeypatch):
    run(monkeypatch, "--stages", "create_dataset", *FULL_FLAG)
    (system,) = systems
    assert trained == [("create_dataset", "./exp/training_full")]
    assert system.training_config is system.training_full_config


@pytest.mark.parametrize("running", [None, "train_easy"])
def test_a_second_rank_runs_the_phases_and_nothing_else(monkeypatch, running):
    monkeypatch.setenv("RANK", "1")
    if running is not None:  # what a launcher's parent says; then no declaration is needed
        monkeypatch.setenv(RUNNING_STAGE_VARIABLE, running)
        monkeypatch.setattr(CurriculumSystem, "DISTRIBUTED_STAGES", ("train",))
    stages = ("create_dataset", "train_easy", "train_full")
    run(monkeypatch, "--stages", *stages, *EASY_FLAG, *FULL_FLAG)
    phases = ["training_easy"] if running else ["training_easy", "training_full"]
    assert [tag for tag, _ in trained] == phases
    assert not list(Path("exp").rglob("*.log"))


def test_a_mistake_in_an_extra_slot_is_found(monkeypatch):
    Path("conf/training_easy.yaml").write_text("num_device: many\n")
    with pytest.raises(ValueError, match=r"training_easy\.yaml:1: num_device = 'many'"):
        run(monkeypatch, "--stages", "train_easy", *EASY_FLAG)
