"""The E-Branchformer of the recipe librispeech_100, as its shipped configuration describes it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any, ClassVar

import lightning
import numpy as np
import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed

from espnet3.components.data import audio
from espnet3.utils.config_utils import to_plain
from tests.recipes.shipped import copy_recipe

CONFIG = "conf/tuning/training_e_branchformer.yaml"
RATE = 16000
SPLITS = ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")
TEXTS = ("THE CAT SAT ON THE MAT", "A DOG SAT ON A LOG", "THE DOG ATE THE HAM", "NO CAT ATE LOGS")
# The sizes of the model are the shipped ones: only the data, the tokens that they allow, and the
# machinery around the first step are small.
OVERRIDES = (
    "tokenizer.vocab_size=20",
    "dataloader.train.iter_factory.num_workers=0",
    "dataloader.valid.iter_factory.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.fast_dev_run=1",
    "trainer.callbacks=[{_target_: tests.espnet2.test_librispeech_100.KeepStep}]",
)


class KeepStep(lightning.Callback):
    """Keeps what a training step starts from and what it gives."""

    made: ClassVar[list[KeepStep]] = []

    def __init__(self) -> None:
        self.made.append(self)

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.options = to_plain(module.config["model"])
        self.seed = module.config["seed"]
        self.weights = {name: value.clone() for name, value in module.state_dict().items()}
        self.uids, self.batch = batch
        self.random_state = torch.get_rng_state()

    def on_after_backward(self, trainer: Any, module: Any) -> None:
        named = module.model.named_parameters()
        self.gradients = {name: parameter.grad.clone() for name, parameter in named}

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.loss = outputs["loss"]
        self.precision = trainer.precision
        # Lightning divides by it before the backward pass.
        self.divisor = trainer.accumulate_grad_batches


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A copy of the recipe beside a corpus of noise in the layout of LibriSpeech."""
    folder = copy_recipe("librispeech_100/asr", tmp_path)
    generator = np.random.default_rng(0)
    for speaker, split in enumerate(SPLITS):
        here = folder / "download" / "LibriSpeech" / split / f"{speaker}" / "198"
        here.mkdir(parents=True)
        lines = [f"{speaker}-198-000{i} {text}" for i, text in enumerate(TEXTS)]
        (here / f"{speaker}-198.trans.txt").write_text("\n".join(lines) + "\n")
        for i in range(len(TEXTS)):
            speech = generator.normal(scale=3000, size=RATE * 2 + 4000 * i).astype(np.int16)
            audio.write(here / f"{speaker}-198-000{i}.flac", speech, RATE)
    return folder


def train_one_step(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> KeepStep:
    """Run the recipe up to its first training step."""
    stages = ("create_dataset", "train_tokenizer", "collect_stats", "train")
    command = ["run.py", "--training_config", CONFIG, "--stages", *stages]
    command += [f"--set=training.{override}" for override in OVERRIDES]
    monkeypatch.chdir(recipe)
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(KeepStep, "made", [])
    runpy.run_path("run.py", run_name="__main__")
    return KeepStep.made[-1]


def own_model(options: dict[str, Any], seed: int, file: Path) -> torch.nn.Module:
    """Build a model as ESPnet2's training command does with a configuration file."""
    file.write_text(yaml.safe_dump(options))
    arguments = ASRTask.get_parser().parse_args(["--config", str(file)])
    set_all_random_seed(seed)
    return ASRTask.build_model(arguments).train()


def test_the_first_step_of_the_shipped_configuration_is_that_of_espnet2(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: None
) -> None:
    step = train_one_step(recipe, monkeypatch)
    shipped = yaml.safe_load((recipe / CONFIG).read_text())
    data = ("token_list", "normalize_conf")
    assert step.options.keys() == shipped["model"].keys()
    assert all(step.options[k] == v for k, v in shipped["model"].items() if k not in data)
    assert (step.precision, len(step.uids)) == (shipped["trainer"]["precision"], len(TEXTS))

    theirs = own_model(step.options, shipped["seed"], tmp_path / "espnet2.yaml")
    weights = theirs.state_dict()
    assert weights.keys() == step.weights.keys()
    assert all(torch.equal(step.weights[name], value) for name, value in weights.items())
    torch.set_rng_state(step.random_state)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _, _ = theirs(**step.batch)
    (loss / step.divisor).backward()
    assert step.loss.item() == (loss / step.divisor).item()
    assert step.gradients.keys() == dict(theirs.named_parameters()).keys()
    for name, parameter in theirs.named_parameters():
        assert torch.equal(step.gradients[name], parameter.grad), name
