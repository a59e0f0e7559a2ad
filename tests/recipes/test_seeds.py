"""Every code block of the seeds `systems`, `model-and-system` and `from-hugging-face`, as written.

The seeds lost their indentation on the way; nothing else of a snippet differs from them.
"""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys
import types
from argparse import ArgumentParser
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from egs3.TEMPLATE.asr.run import DEFAULT_STAGES, DEMO_STAGES
from espnet3.systems.base.system import BaseSystem
from tests.conftest import REPO_ROOT
from tests.recipes.toy import run_recipe, tree, write_recipe

SEEDS = REPO_ROOT.parent / "shared" / "seeds"

pytestmark = pytest.mark.usefixtures("in_process")

CONSTRUCTOR = """
class BaseSystem:
    def __init__(
        self,
        training_config=None,
        inference_config=None,
        metrics_config=None,
        publication_config=None,
        stage_log_mapping=None,
    ):
        ...

    def create_dataset(self): ...
    def collect_stats(self): ...
    def train(self): ...
    def infer(self): ...
    def measure(self): ...
    def pack_model(self): ...
    def upload_model(self): ...
    def pack_demo(self): ...
    def upload_demo(self): ...
"""
RUN_STAGES = """
from espnet3.utils.stages_utils import run_stages

system = system_cls(
    training_config=training_config,
    inference_config=inference_config,
    metrics_config=metrics_config,
    publication_config=publication_config,
)

run_stages(system=system, stages_to_run=["train", "infer", "measure"])
"""
CORE_IDEA = """
for stage in stages_to_run:
    fn = getattr(system, stage)
    fn()
"""
LOG_MAPPING = """
system = BaseSystem(
    training_config=train_cfg,
    inference_config=infer_cfg,
    metrics_config=metrics_cfg,
    stage_log_mapping={
        "infer": "training_config.exp_dir",
        "measure": "training_config.exp_dir",
    },
)
"""
RECIPE_SYSTEM = """
from espnet3.systems.asr.system import ASRSystem


class RecipeSystem(ASRSystem):
    def export_debug(self):
        output_dir = self.exp_dir / "debug_export"
        output_dir.mkdir(parents=True, exist_ok=True)
        return output_dir
"""
RECIPE_RUN = """
from src.system import RecipeSystem

DEFAULT_STAGES = [
    "create_dataset",
    "collect_stats",
    "train",
    "infer",
    "measure",
    "export_debug",
]

main(args=args, system_cls=RecipeSystem)
"""
MY_SYSTEM = """
from espnet3.systems.base.system import BaseSystem


class MySystem(BaseSystem):
    def train(self):
        ...

    def pack_model(self):
        ...
"""
METRICS = """
metrics:
  - metric:
      _target_: espnet3.systems.<system>.metrics.my_metric.MyMetric
"""
MY_MODEL = """
import torch


class MyModel(torch.nn.Module):
    def __init__(self, hidden_size: int, vocab_size: int):
        super().__init__()
        self.encoder = torch.nn.Linear(80, hidden_size)
        self.head = torch.nn.Linear(hidden_size, vocab_size)

    def forward(self, speech, **batch):
        hidden = self.encoder(speech)
        return self.head(hidden)
"""
MODEL_CONFIG = """
task:
model:
  _target_: src.model.MyModel
  hidden_size: 256
  vocab_size: 500
"""
FLAGS = """
parser.add_argument("--training_easy_config", type=Path, default=None)
parser.add_argument("--training_full_config", type=Path, default=None)
"""
CEMOES = """
from espnet3.systems.asr.system import ASRSystem
from espnet3.systems.base.training import train


class CEMOESSystem(ASRSystem):
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
        )
        self.training_easy_config = training_easy_config
        self.training_full_config = training_full_config

    def train_easy(self):
        original = self.training_config
        self.training_config = self.training_easy_config
        try:
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
"""
ALL_STAGES = """
ALL_STAGES = [
    *DEFAULT_STAGES,
    "train_easy",
    "train_full",
]
"""
TRAIN_EASY = """
python run.py \\
    --stages train_easy \\
    --training_easy_config conf/training_easy.yaml
"""
TRAIN_FULL = """
python run.py \\
    --stages train_full \\
    --training_full_config conf/training_full.yaml
"""
SNIPPETS = {
    "systems": [CONSTRUCTOR, RUN_STAGES, CORE_IDEA, LOG_MAPPING]
    + [RECIPE_SYSTEM, RECIPE_RUN, MY_SYSTEM, METRICS],
    "model-and-system": [MY_MODEL, MODEL_CONFIG, FLAGS, CEMOES, ALL_STAGES]
    + [TRAIN_EASY, TRAIN_FULL],
}


@pytest.mark.parametrize("seed", SNIPPETS)
def test_the_snippets_are_those_of_the_seeds(seed: str) -> None:
    if not SEEDS.is_dir():
        pytest.skip("the seeds (../shared/seeds) are not on this machine")
    text = "".join((SEEDS / f"{seed}.txt").read_text(encoding="utf-8").split())
    for snippet in SNIPPETS[seed]:
        assert "".join(snippet.split()) in text, snippet


class Quiet(BaseSystem):
    """Notes what ran instead of doing it."""

    def __init__(self, **configs):
        super().__init__(**configs)
        self.ran = []

    def train(self):
        self.ran.append("train")

    def infer(self):
        self.ran.append("infer")

    def measure(self):
        self.ran.append("measure")


def slots(folder: Path) -> dict[str, object]:
    return {
        "training_config": OmegaConf.create({"exp_dir": f"{folder}/exp/a"}),
        "inference_config": OmegaConf.create({"inference_dir": f"{folder}/exp/a/inference"}),
        "metrics_config": OmegaConf.create({"inference_dir": f"{folder}/exp/a/inference"}),
        "publication_config": None,
    }


def test_the_constructor_and_the_stages_are_there() -> None:
    sketch: dict[str, type] = {}
    exec(CONSTRUCTOR, sketch)
    wanted = list(inspect.signature(sketch["BaseSystem"]).parameters)
    assert list(inspect.signature(BaseSystem).parameters)[: len(wanted)] == wanted
    methods = [name for name in vars(sketch["BaseSystem"]) if not name.startswith("_")]
    assert methods == [s for s in [*DEFAULT_STAGES, *DEMO_STAGES] if s != "train_tokenizer"]
    assert all(callable(getattr(BaseSystem, name)) for name in methods)


def test_run_stages_calls_the_methods(tmp_path: Path) -> None:
    scope = {"system_cls": Quiet, **slots(tmp_path)}
    exec(RUN_STAGES, scope)
    assert scope["system"].ran == ["train", "infer", "measure"]
    assert (tmp_path / "exp/a/train.log").is_file()
    scope["stages_to_run"] = ["measure", "train"]
    exec(CORE_IDEA, scope)
    assert scope["system"].ran[3:] == ["measure", "train"]


def test_a_log_mapping_moves_the_logs(tmp_path: Path) -> None:
    given = slots(tmp_path)
    scope = {"BaseSystem": BaseSystem, "train_cfg": given["training_config"]}
    scope |= {"infer_cfg": given["inference_config"], "metrics_cfg": given["metrics_config"]}
    exec(LOG_MAPPING, scope)
    folders = scope["system"].stage_log_dirs
    assert folders["infer"] == folders["measure"] == folders["train"] == tmp_path / "exp/a"


def test_a_system_overrides_only_what_it_needs(tmp_path: Path) -> None:
    scope: dict[str, type] = {}
    exec(MY_SYSTEM, scope)
    system = scope["MySystem"](**slots(tmp_path))
    assert system.train() is None
    assert system.pack_model() is None
    assert "collect_stats" not in vars(type(system))


def test_a_metric_of_a_system_is_named_by_its_path(tmp_path: Path, monkeypatch) -> None:
    from espnet3.components.metrics.base_metric import BaseMetric
    from espnet3.systems.base.metric import measure

    class MyMetric(BaseMetric):
        ref_key, hyp_key = "ref", "hyp"

        def __call__(self, data, test_name, output_dir):
            return {"pairs": float(len(list(self.iter_inputs(data, "ref", "hyp"))))}

    for name in ("mine", "mine.metrics", "mine.metrics.my_metric"):
        module = types.ModuleType(f"espnet3.systems.{name}")
        module.MyMetric = MyMetric
        module.__path__ = []
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for field in ("ref", "hyp"):
        path = tmp_path / "test" / f"{field}.scp"
        path.parent.mkdir(exist_ok=True)
        path.write_text("a one\nb two\n")
    config = {
        **yaml.safe_load(METRICS.replace("<system>", "mine")),
        "inference_dir": str(tmp_path),
        "allow_incomplete": True,
    }
    (scores,) = measure(config).values()
    assert scores["test"]["pairs"] == 2


def test_the_recipe_local_stage_runs(tmp_path: Path) -> None:
    run = (
        "from egs3.TEMPLATE.asr.run import build_parser, main, parse_cli_and_stage_args\n"
        + RECIPE_RUN.replace(
            "main(",
            "args, _ = parse_cli_and_stage_args(build_parser(DEFAULT_STAGES), DEFAULT_STAGES)\n"
            "main(",
        )
    )
    recipe = write_recipe(tmp_path / "recipe", system=RECIPE_SYSTEM, run=run, training="seed: 1\n")
    done = run_recipe(recipe, "--stages", "export_debug", "--training_config", "conf/training.yaml")
    assert done.returncode == 0, done.stderr
    assert (recipe / "exp/training/debug_export").is_dir()


def test_the_model_of_the_seed_trains_by_its_config(tmp_path: Path) -> None:
    from espnet3.systems.base.training import train
    from espnet3.utils.recipe_path import activate_recipe
    from espnet3.utils.weights_utils import read_state_dict
    from tests.unit.components.toy_training import toy_config

    recipe = write_recipe(tmp_path / "recipe", training="")
    (recipe / "src/model.py").write_text(MY_MODEL)
    activate_recipe(recipe)
    here = "tests.recipes.test_seeds"
    config = {
        **toy_config(tmp_path / "exp"),
        "dataset": {
            "_target_": "espnet3.components.data.data_organizer.DataOrganizer",
            "recipe_dir": str(recipe),
            "train": [{"dataset": {"_target_": f"{here}.Frames"}}],
            "valid": [{"dataset": {"_target_": f"{here}.Frames"}}],
        },
        "criterion": {"_target_": f"{here}.FrameLoss"},
        **yaml.safe_load(MODEL_CONFIG),
    }
    train(config)
    weights = read_state_dict(tmp_path / "exp/last.ckpt")
    assert weights["head.weight"].shape == (500, 256)


class Frames(list):
    """Features with one label each."""

    def __init__(self):
        super().__init__(
            {"speech": torch.randn(5, 80), "text": torch.tensor([index])} for index in range(4)
        )


class FrameLoss:
    def __call__(self, output, batch):
        return torch.nn.functional.cross_entropy(output.mean(1), batch["text"][:, 0])


CURRICULUM_RUN = f"""
from pathlib import Path

from egs3.TEMPLATE.asr.run import (
    DEFAULT_STAGES, build_parser, main, parse_cli_and_stage_args
)
from src.system import CEMOESSystem
{ALL_STAGES}
parser = build_parser(ALL_STAGES)
{FLAGS}
args, _ = parse_cli_and_stage_args(parser, ALL_STAGES)
main(args=args, system_cls=CEMOESSystem)
"""
PHASE = """
model: {_target_: tests.unit.components.toy_training.ToyModel}
override dataset: {_target_: tests.unit.components.toy_training.ToyOrganizer}
override dataloader: {train: {batch_size: 4}, valid: {batch_size: 4}}
override scheduler:
trainer: {accelerator: cpu, max_epochs: 1, enable_progress_bar: false}
"""


@pytest.fixture
def curriculum(tmp_path: Path) -> Path:
    return write_recipe(
        tmp_path / "recipe",
        system=CEMOES,
        run=CURRICULUM_RUN,
        training_easy=PHASE,
        training_full=PHASE,
    )


def test_the_flags_are_ordinary_flags() -> None:
    parser = ArgumentParser()
    exec(FLAGS, {"parser": parser, "Path": Path})
    assert parser.parse_args([]).training_easy_config is None


@pytest.mark.parametrize("command", [TRAIN_EASY, TRAIN_FULL], ids=["easy", "full"])
def test_a_phase_trains_with_the_command_of_the_seed(curriculum: Path, command: str) -> None:
    words = shlex.split(command.replace("\\\n", ""))
    done = run_recipe(curriculum, *words[2:])
    assert done.returncode == 0, done.stderr
    phase = Path(words[-1]).stem
    assert (curriculum / "exp" / phase / "last.ckpt").is_file()


def test_a_phase_without_its_config_says_so(curriculum: Path) -> None:
    before = tree(curriculum)
    done: subprocess.CompletedProcess[str] = run_recipe(
        curriculum, "--stages", "train_easy", "--training_full_config", "conf/training_full.yaml"
    )
    assert done.returncode == 1
    assert "error: there is no training configuration\n  give run.py the flag" in done.stderr
    assert not {name for name in tree(curriculum) - before if name.endswith(".ckpt")}
