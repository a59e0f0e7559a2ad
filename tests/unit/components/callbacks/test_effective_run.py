from __future__ import annotations

import json

import lightning
import numpy as np
import pytest
import torch
from torch import nn

from espnet3.components.callbacks.effective_run import EffectiveRun, format_facts
from espnet3.components.callbacks.run_facts import (
    augmentation_facts,
    batch_facts,
    parameter_facts,
    rate_facts,
)
from espnet3.components.data.dataset import CombinedDataset
from espnet3.components.data.loader import ResumableLoader
from espnet3.components.data.planner import BatchPlanner
from espnet3.components.data.settings import PlannerSettings
from espnet3.components.layers import SpecAug
from espnet3.components.modeling.lightning_module import ESPnetLightningModule
from espnet3.components.optimizers.settings import read_optimization
from espnet3.components.trainers.trainer import ESPnet3LightningTrainer
from tests.unit.components.toy_training import ToyModel, toy_config

SCHEDULERS = "espnet3.components.optimizers.schedulers"


def test_parameters_are_counted_by_part_and_by_what_is_frozen():
    model = ToyModel()
    model.encoder.weight.requires_grad_(False)
    facts = parameter_facts(model)
    assert facts["encoder"] == {"trainable": 3, "frozen": 12}
    assert sum(map(sum, (part.values() for part in facts.values()))) == sum(
        p.numel() for p in model.parameters()
    )


def test_spectral_masks_are_measured_and_leave_the_random_state_alone():
    spec_aug = SpecAug(
        apply_time_warp=False,
        num_freq_mask=1,
        freq_mask_width_range=(8, 9),
        apply_time_mask=False,
    )
    model = nn.Sequential(spec_aug, nn.Dropout(0.2), nn.Dropout(0.2)).eval()
    before = torch.random.get_rng_state()
    masks, dropout = augmentation_facts(model, None)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not spec_aug.training
    assert masks["hit_rate"] == 1.0
    assert masks["changed_values"] == pytest.approx(8 / 80, abs=1e-3)
    assert masks["options"] == {"freq_masks": 1}
    assert dropout == {"name": "dropout in 2 places", "probability": 0.2}


class Speech:
    def __len__(self):
        return 20

    def __getitem__(self, index):
        return {"speech": np.ones(4, dtype=np.float32)}


class Louder:
    probability = 0.5
    calls = 0

    def __call__(self, sample, rng):
        Louder.calls += 1
        gain = 2.0 if rng.random() < self.probability else 1.0
        return {"speech": sample["speech"] * gain}


def test_transforms_are_tried_on_a_few_samples():
    dataset = CombinedDataset([Speech(), Speech()], [(Louder(), None), (None, None)])
    Louder.calls = 0
    (facts,) = augmentation_facts(nn.Identity(), dataset)
    assert facts["name"] == "transform Louder of Speech"
    assert facts["probability"] == 0.5
    assert 0 < facts["hit_rate"] < 1
    assert Louder.calls == 8


def test_batches_are_those_of_the_plan():
    lengths = np.arange(1, 41) * 16000
    planner = BatchPlanner(lengths, PlannerSettings(max_tokens=80 * 16000, num_buckets=4))
    loader = ResumableLoader(list(range(40)), planner, world_size=2)
    facts = batch_facts(loader, world_size=2, accumulate=3, rate=16000)
    sizes, longest, _ = loader.plan.shapes(lengths)
    assert facts["batches"] == len(loader)
    assert facts["updates"] == -(-len(loader) // 3)
    assert facts["utterances_per_update"] == pytest.approx(sizes.mean() * 6, abs=0.05)
    assert facts["padding"] == pytest.approx(loader.plan.padding_waste(lengths), abs=1e-4)
    assert sum(shape["batches"] for shape in facts["shapes"]) == len(sizes)
    assert facts["shapes"][-1]["longest"][1] == longest.max() / 16000
    edges = [shape["longest"] for shape in facts["shapes"]]
    assert all(low[1] <= high[0] for low, high in zip(edges, edges[1:], strict=False))


def test_a_plain_loader_is_described_by_its_size():
    loader = torch.utils.data.DataLoader(list(range(10)), batch_size=4)
    facts = batch_facts(loader, world_size=1, accumulate=2)
    assert (facts["batches"], facts["updates"]) == (3, 2)
    assert facts["utterances_per_update"] == 8


def settings_of(target: str, **options):
    scheduler = {"_target_": target, **options}
    interval = options.pop("interval", "step")
    scheduler.pop("interval", None)
    config = {
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 1.0},
        "scheduler": scheduler,
        "scheduler_interval": interval,
    }
    return read_optimization(config)


def points(settings, updates, per_epoch=10):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    facts = rate_facts(optimizer, settings, updates, per_epoch)
    assert optimizer.param_groups[0]["lr"] == 1.0
    return {place: (step, rate) for place, step, rate in facts["points"]}


def test_the_curve_of_our_schedules_has_four_points():
    settings = settings_of(f"{SCHEDULERS}.LinearWarmupCosineLR", warmup_steps=10, max_steps=110)
    found = points(settings, 110)
    assert found["first"] == (1, pytest.approx(0.1))
    assert found["end of warm-up"] == (10, pytest.approx(1.0))
    assert found["middle"] == (55, pytest.approx(0.5782, abs=1e-3))
    assert found["last"] == (110, pytest.approx(0.0, abs=1e-9))


def test_a_warm_up_beyond_the_end_of_the_run_is_not_claimed():
    settings = settings_of(f"{SCHEDULERS}.WarmupLR", warmup_steps=1000)
    assert "end of warm-up" not in points(settings, 100)
    assert points(settings, 100)["last"] == (100, pytest.approx(0.1))


def test_schedules_of_torch_are_stepped_in_epochs_where_they_count_epochs():
    settings = settings_of("torch.optim.lr_scheduler.ExponentialLR", gamma=0.5, interval="epoch")
    assert points(settings, 40)["last"] == (4, 0.125)
    assert points(settings, float("inf"))["first"] == (1, 1.0)


def test_a_schedule_that_follows_a_metric_has_no_points():
    config = {
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 1.0},
        "scheduler": {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"},
        "scheduler_monitor": "valid/loss",
    }
    assert points(read_optimization(config), 10) == {}


def test_training_leaves_the_report_and_is_not_changed_by_it(tmp_path, caplog):
    caplog.set_level("INFO")
    shapes = {mode: tmp_path / f"{mode}_shape" for mode in ("train", "valid")}
    for path, count in zip(shapes.values(), (8, 4), strict=True):
        path.write_text("".join(f"{index} 4\n" for index in range(count)))
    loaders = {
        mode: {"loader": "native", "shape_file": str(path), "max_batch_size": 2}
        for mode, path in shapes.items()
    }

    def run(name: str, *, report: bool) -> torch.Tensor:
        torch.manual_seed(0)
        config = toy_config(tmp_path / name, dataloader=loaders)
        config["model"]["dropout"] = 0.5
        module = ESPnetLightningModule(ToyModel(dropout=0.5), config)
        trainer = ESPnet3LightningTrainer(module, tmp_path / name, config["trainer"])
        if not report:
            callbacks = trainer.trainer.callbacks
            callbacks.remove(next(c for c in callbacks if isinstance(c, EffectiveRun)))
        trainer.fit()
        return module.model.head.weight.detach()

    with_report = run("a", report=True)
    facts = json.loads((tmp_path / "a" / "effective_run.json").read_text())
    assert facts["batches"]["batches"] == 4
    assert facts["learning_rate"]["points"] == [["constant", 1, 0.05]]
    text = format_facts(facts)
    assert f"effective run:\n{text}" in caplog.text
    assert len(text.splitlines()) <= 25
    assert torch.equal(with_report, run("b", report=False))
    assert not (tmp_path / "b" / "effective_run.json").exists()


def test_a_run_that_goes_on_reports_the_options_that_its_checkpoint_restored(tmp_path):
    def run(max_epochs: int, gamma: float, **options: float) -> dict[str, str]:
        config = toy_config(tmp_path, optimizer={"_target_": "torch.optim.SGD", **options})
        config["scheduler"] = {
            "_target_": "torch.optim.lr_scheduler.StepLR",
            "gamma": gamma,
            "step_size": 1,
        }
        config["scheduler_interval"] = "epoch"
        config["trainer"]["max_epochs"] = max_epochs
        trainer = ESPnet3LightningTrainer(
            ESPnetLightningModule(ToyModel(), config), tmp_path, config["trainer"]
        )
        last = tmp_path / "last.ckpt"
        trainer.fit(ckpt_path=str(last) if last.exists() else None)
        return json.loads((tmp_path / "effective_run.json").read_text())

    first = run(1, gamma=0.5, lr=0.05, momentum=0.5)
    assert first["optimizer"] == "torch.optim.SGD(lr=0.05, momentum=0.5)"
    assert first["scheduler"] == "torch.optim.lr_scheduler.StepLR(gamma=0.5, step_size=1)"
    second = run(2, gamma=0.9, lr=0.9, momentum=0.1)
    assert (second["optimizer"], second["scheduler"]) == (first["optimizer"], first["scheduler"])
    assert second["learning_rate"]["points"][-1] == ["last", 2, 0.025]


def test_any_lightning_module_gets_a_report(tmp_path):
    class Plain(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def training_step(self, batch, index):
            return self.layer(batch).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def train_dataloader(self):
            return torch.utils.data.DataLoader(torch.zeros(4, 1), batch_size=2)

    config = {"max_epochs": 1, "logger": False, "accelerator": "cpu", "enable_checkpointing": False}
    trainer = ESPnet3LightningTrainer(Plain(), tmp_path, config | {"enable_progress_bar": False})
    trainer.fit()
    facts = json.loads((tmp_path / "effective_run.json").read_text())
    assert facts["parameters"] == {"layer": {"trainable": 2, "frozen": 0}}
    assert "learning_rate" not in facts


def test_a_large_model_is_summed_up(tmp_path):
    parts = {f"part{i}": {"trainable": 10 - i, "frozen": i} for i in range(12)}
    facts = {"model": "m", "parameters": parts, "augmentation": [], "batches": {}}
    lines = format_facts(facts).splitlines()
    assert sum("trainable" in line for line in lines) == 9
    assert "4 others" in lines[9]
