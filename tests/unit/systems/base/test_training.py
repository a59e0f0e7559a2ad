from __future__ import annotations

import copy
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import lightning
import pytest
import torch
import yaml
from omegaconf import OmegaConf

from espnet3.components.modeling.lightning_module import ESPnetLightningModule
from espnet3.components.trainers.trainer import ESPnet3LightningTrainer
from espnet3.errors import (
    ConfigError,
    MissingConfigError,
    MissingFileError,
    SettingError,
    UnknownKeyError,
)
from espnet3.systems.base.training import collect_stats, train
from espnet3.utils.weights_utils import load_weights, read_state_dict
from tests.unit.components import toy_training
from tests.unit.components.toy_training import HERE, ToyModel, toy_config


class RecipeModule(ESPnetLightningModule):
    built: list[str] = []

    def __init__(self, model, config):
        super().__init__(model, config)
        self.built.append("module")


class RecipeTrainer(ESPnet3LightningTrainer):
    def __init__(self, model=None, exp_dir=None, config=None, best_model_criterion=None):
        super().__init__(model, exp_dir, config, best_model_criterion)
        RecipeModule.built.append("trainer")


def read_history(exp_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (exp_dir / "metrics.jsonl").read_text().splitlines()]


def test_run_leaves_all_files_and_the_average_is_the_mean(tmp_path):
    config = OmegaConf.create(toy_config(tmp_path, model={"_target_": f"{HERE}.ToyLogits"}))
    config.criterion = {"_target_": "hydra.utils.get_method", "path": f"{HERE}.toy_criterion"}
    before = copy.deepcopy(config)
    train(config)
    assert config == before
    names = {path.name for path in tmp_path.iterdir()}
    best = ["epoch0_step2_valid.loss.ckpt", "epoch1_step4_valid.loss.ckpt"]
    assert names >= {
        *best,
        "step4.ckpt",
        "last.ckpt",
        "valid.loss.ave_2best.pth",
        "valid.loss.ave.pth",
        "training.yaml",
        "metrics.jsonl",
    }
    assert "step2.ckpt" not in names
    assert "valid.loss.ave_1best.pth" not in names
    assert (tmp_path / "last.ckpt").readlink() == Path("step4.ckpt")

    average = torch.load(tmp_path / "valid.loss.ave.pth", weights_only=True)
    model = ToyModel()
    model.load_state_dict(average)
    parts = [read_state_dict(tmp_path / name) for name in best]
    for name, value in average.items():
        both = torch.stack([part[name] for part in parts])
        expected = both.mean(0) if value.is_floating_point() else both.sum(0)
        torch.testing.assert_close(value, expected)

    full = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert set(full["state_dict"]) == set(model.state_dict())
    assert "espnet3_optimizer_runtime_state" not in full
    saved = yaml.safe_load((tmp_path / "training.yaml").read_text())
    assert saved["model"] == {"_target_": f"{HERE}.ToyLogits"}
    history = read_history(tmp_path)
    assert [(e["epoch"], e["split"]) for e in history] == [
        (0, "valid"),
        (0, "train"),
        (1, "valid"),
        (1, "train"),
    ]
    assert history[-1]["step"] == 4
    assert {"loss", "train_time", "optim0_lr0"} <= set(history[-1]["values"])


def test_finished_run_started_again_does_nothing(tmp_path, caplog):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    train(config)
    stamp = (tmp_path / "last.ckpt").stat().st_mtime_ns
    written = (tmp_path / "training.yaml").read_text()
    config["model"]["hidden"] = 5
    toy_training.ToyOrganizer.__init__, original = None, toy_training.ToyOrganizer.__init__
    try:
        with caplog.at_level("INFO"):
            train(config)
    finally:
        toy_training.ToyOrganizer.__init__ = original
    assert "Nothing to do" in caplog.text
    assert (tmp_path / "last.ckpt").stat().st_mtime_ns == stamp
    assert (tmp_path / "training.yaml").read_text() == written
    (tmp_path / "training.yaml").unlink()
    train(config)
    assert (tmp_path / "training.yaml").is_file()


def test_damaged_checkpoint_is_skipped_with_a_warning(tmp_path, caplog):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    config["trainer"] = {**config["trainer"], "keep_last": 2}
    train(config)
    newest = tmp_path / "step4.ckpt"
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level("INFO"):
        train(config)
    assert "cannot be read" in caplog.text
    assert "Going on after 2 steps" in caplog.text
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4
    assert [e["epoch"] for e in read_history(tmp_path)] == [0, 0, 1, 1]


def test_a_run_in_two_parts_equals_one_run(tmp_path):
    whole = toy_config(tmp_path / "whole", fit={"ckpt_path": "auto"})
    whole["dataloader"]["train"]["shuffle"] = False
    whole["optimizer"] = {"_target_": "torch.optim.AdamW", "lr": 0.01}
    whole["scheduler"] = {
        "_target_": "espnet3.components.optimizers.schedulers.WarmupLR",
        "warmup_steps": 3,
    }
    parts = copy.deepcopy(whole)
    parts["exp_dir"] = str(tmp_path / "parts")
    train(whole)
    train({**parts, "trainer": {**parts["trainer"], "max_epochs": 1}})
    train(parts)
    one = torch.load(tmp_path / "whole" / "last.ckpt", weights_only=True)
    two = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)
    assert one["global_step"] == two["global_step"] == 4
    assert one["lr_schedulers"] == two["lr_schedulers"]
    for name, value in one["state_dict"].items():
        assert torch.equal(value, two["state_dict"][name]), name


@pytest.mark.parametrize("max_steps", [-1, 10])
def test_a_run_that_goes_on_after_an_epoch_has_all_its_epochs(tmp_path, max_steps):
    shapes = tmp_path / "shapes"
    shapes.write_text("".join(f"{index} 4\n" for index in range(8)))
    whole = toy_config(tmp_path / "whole", fit={"ckpt_path": "auto"})
    whole["dataloader"]["train"] = {
        "loader": "native",
        "shape_file": str(shapes),
        "max_batch_size": 4,
    }
    whole["trainer"] |= {"max_epochs": 5, "max_steps": max_steps}
    parts = copy.deepcopy(whole) | {"exp_dir": str(tmp_path / "parts")}
    train(whole)
    for epochs in (2, 3, 5):
        train({**parts, "trainer": {**parts["trainer"], "max_epochs": epochs}})
    one = torch.load(tmp_path / "whole" / "last.ckpt", weights_only=True)
    two = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)
    assert one["global_step"] == two["global_step"] == 10
    assert one["epoch"] == two["epoch"] == 4
    for name, value in one["state_dict"].items():
        assert torch.equal(value, two["state_dict"][name]), name
    epochs = [[e["epoch"] for e in read_history(tmp_path / name)] for name in ("whole", "parts")]
    assert epochs[0] == epochs[1]


class SleepsAtStepThree(lightning.Callback):
    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == 3:
            time.sleep(60)


def test_killed_run_goes_on_in_the_middle_of_the_epoch(tmp_path, caplog):
    shapes = tmp_path / "shapes"
    shapes.write_text("".join(f"{index} 4\n" for index in range(8)))
    loader = {"loader": "native", "shape_file": str(shapes), "max_batch_size": 4}
    config = toy_config(tmp_path / "killed", fit={"ckpt_path": "auto"})
    config["dataloader"]["train"] = loader
    config["trainer"]["save_every_n_steps"] = 1
    sleepy = copy.deepcopy(config)
    sleepy["trainer"]["callbacks"] = [{"_target_": f"{__name__}.SleepsAtStepThree"}]
    process = multiprocessing.get_context("fork").Process(target=train, args=(sleepy,))
    process.start()
    last = tmp_path / "killed" / "last.ckpt"
    deadline = time.monotonic() + 60
    while not last.exists() or last.readlink() != Path("step3.ckpt"):
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with caplog.at_level("INFO"):
        train(config)
    assert "Going on after 3 steps" in caplog.text
    train({**config, "exp_dir": str(tmp_path / "whole")})
    killed = torch.load(last, weights_only=True)
    whole = torch.load(tmp_path / "whole" / "last.ckpt", weights_only=True)
    assert killed["global_step"] == whole["global_step"] == 4
    for name, value in whole["state_dict"].items():
        assert torch.equal(killed["state_dict"][name], value), name


def test_init_from_fills_the_model_and_reports(tmp_path, caplog):
    torch.manual_seed(5)
    source = ToyModel()
    torch.save(source.state_dict(), tmp_path / "source.pth")
    config = toy_config(
        tmp_path / "exp",
        init_from={"path": str(tmp_path / "source.pth"), "exclude": ["head"]},
        freeze=["encoder"],
    )
    with caplog.at_level("INFO"):
        train(config)
    trained = ToyModel()
    load_weights(trained, tmp_path / "exp" / "last.ckpt")
    assert torch.equal(trained.encoder.weight, source.encoder.weight)
    assert not torch.equal(trained.head.weight, source.head.weight)
    assert "init_from" in caplog.text
    assert "(10 trainable, 15 frozen)" in caplog.text


def test_module_and_trainer_can_be_replaced_by_config(tmp_path):
    RecipeModule.built.clear()
    train(
        toy_config(
            tmp_path,
            lightning_module={"_target_": f"{__name__}.RecipeModule"},
            trainer_class=f"{__name__}.RecipeTrainer",
        )
    )
    assert RecipeModule.built == ["module", "trainer"]
    assert (tmp_path / "valid.loss.ave.pth").exists()


class BareModule(lightning.LightningModule):
    """A training loop that shares nothing with ours but the two arguments."""

    def __init__(self, model, config):
        super().__init__()
        self.net, self.config = model, config

    def training_step(self, batch, batch_idx):
        return self.net(**batch)[0]

    def train_dataloader(self):
        return torch.utils.data.DataLoader(toy_training.ToyData(8), batch_size=4)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.config["lr"])


def test_a_lightning_module_of_another_kind_trains(tmp_path):
    config = toy_config(tmp_path, lightning_module={"_target_": f"{__name__}.BareModule"}, lr=0.1)
    config["best_model_criterion"] = []
    train(config)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": None}, MissingConfigError, "model._target_"),
        ({"model": {"size": 3}}, MissingConfigError, "model._target_"),
        ({"model": {"_target_": f"{HERE}.ToyModle"}}, ConfigError, "ToyModel"),
        ({"optimizer": None}, MissingConfigError, "Must specify either `optimizer`"),
        ({"scheduler_interval": "batch"}, SettingError, "scheduler_interval"),
        ({"trainer": {"max_epoch": 3}}, UnknownKeyError, "max_epochs"),
        ({"trainer": {"callbacks": {}}}, AssertionError, "callbacks should be a list"),
        ({"best_model_criterion": [["valid/loss", 3]]}, ConfigError, "best_model_criterion"),
        ({"fit": {"ckpt_path": "none.ckpt"}}, ConfigError, "fit.ckpt_path"),
        ({"freeze": ["encodr"]}, SettingError, "encoder"),
        ({"init_from": {"path": "none.pth"}}, MissingFileError, "init_from.path = 'none.pth'"),
        ({"dataset": None}, MissingConfigError, "dataset"),
        ({"exp_dir": None}, ConfigError, "exp_dir"),
    ],
)
def test_mistakes_in_the_configuration_are_named(tmp_path, changes, error, message):
    with pytest.raises(error, match=message.replace(".", r"\.")):
        train({**toy_config(tmp_path), **changes})


def test_named_optimizers_are_refused_with_one_clear_error(tmp_path):
    changes = {"optimizer": None, "optimizers": {"a": {}}, "schedulers": {"a": {}}}
    with pytest.raises(ConfigError, match=r"optimizers: several named optimizers"):
        train(toy_config(tmp_path, **changes))


def test_metric_that_never_appears_fails_after_the_first_validation(tmp_path):
    config = toy_config(tmp_path, best_model_criterion=[["valid/los", 1, "min"]])
    with pytest.raises(ConfigError, match=r"valid/loss(.|\n)*did you mean"):
        train(config)


def test_starting_anew_beside_a_checkpoint_warns(tmp_path, caplog):
    config = toy_config(tmp_path)
    config["trainer"]["max_epochs"] = 1
    train(config)
    train(config)
    assert "starts anew" in caplog.text


class ModelWithNormalizer(ToyModel):
    built: list[bool] = []

    def __init__(self, normalize=None, normalize_conf=None):
        super().__init__()
        self.built.append(normalize is not None)

    def collect_feats(self, x, x_lengths, **_):
        return {"feats": x[:, :, None], "feats_lengths": x_lengths}


def test_collect_stats_then_train_on_one_config_keeps_the_normalizer(tmp_path):
    ModelWithNormalizer.built.clear()
    config = OmegaConf.create(
        toy_config(
            tmp_path / "exp",
            stats_dir=str(tmp_path / "stats"),
            model={
                "_target_": f"{__name__}.ModelWithNormalizer",
                "normalize": "global_mvn",
                "normalize_conf": {"stats_file": "${stats_dir}/train/feats_stats.npz"},
            },
        )
    )
    before = copy.deepcopy(config)
    collect_stats(config)
    assert not any(ModelWithNormalizer.built)
    assert (tmp_path / "stats" / "train" / "feats_stats.npz").exists()
    assert (tmp_path / "stats" / "valid" / "feats_shape").exists()
    assert config == before
    train(config)
    assert ModelWithNormalizer.built[-1]
    assert config == before


def test_collect_stats_needs_no_optimizer_and_no_trainer_section(tmp_path):
    config = toy_config(tmp_path / "exp", stats_dir=str(tmp_path / "stats"))
    config["model"] = {"_target_": f"{__name__}.ModelWithNormalizer"}
    del config["optimizer"], config["trainer"]
    collect_stats(config)
    assert (tmp_path / "stats" / "train" / "stats_keys").exists()
    assert [path.name for path in (tmp_path / "exp").iterdir()] == []


def test_collect_stats_without_stats_dir_is_an_error(tmp_path):
    with pytest.raises(AssertionError, match="stats_dir"):
        collect_stats(toy_config(tmp_path))


def test_collect_stats_names_the_missing_method(tmp_path):
    with pytest.raises(AttributeError, match="collect_feats"):
        collect_stats(toy_config(tmp_path, stats_dir=str(tmp_path / "stats")))
