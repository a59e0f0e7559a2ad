from __future__ import annotations

import logging
import os

import pytest
import soundfile
import torch
from omegaconf import OmegaConf

from espnet3.components.data.manifest import ManifestDataset
from espnet3.errors import ConfigError
from espnet3.systems.base.training import collect_stats, train
from espnet3.systems.base.training_plan import plan_collect_stats, plan_train
from tests.unit.components.toy_training import toy_config

HERE = __name__


class Data(ManifestDataset):
    def __init__(self, split, data_dir):
        super().__init__(f"{data_dir}/manifest/{split}.tsv")


class Hidden(Data):
    """Knows by itself where its data are."""

    folder = None

    def __init__(self):
        super().__init__("train", self.folder)


class Model(torch.nn.Module):
    def __init__(self, size=1):
        super().__init__()
        self.layer = torch.nn.Linear(1, size)


@pytest.fixture
def stats(tmp_path):
    """A configuration whose statistics can be collected, with a manifest of one sound."""
    soundfile.write(tmp_path / "a.wav", [0.0] * 160, 16000)
    for split in ("train", "valid"):
        path = tmp_path / "manifest" / f"{split}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("a\ta.wav\thello\n")

    def entry(split):
        arguments = {"split": split, "data_dir": str(tmp_path)}
        return [{"dataset": {"_target_": f"{HERE}.Data", **arguments}}]

    return toy_config(
        tmp_path / "exp",
        stats_dir=str(tmp_path / "stats"),
        model={"_target_": f"{HERE}.Model"},
        dataset={
            "_target_": "espnet3.components.data.data_organizer.DataOrganizer",
            "uid_key": "utt_id",
            **{split: entry(split) for split in ("train", "valid")},
        },
        collect_stats={"lengths_only": True},
    )


def collects(config, caplog):
    """Run the stage; tell whether it did any work."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        collect_stats(config)
    return "collect_stats train: utterances=" in caplog.text


def test_collect_stats_does_what_its_plan_says(stats, tmp_path, caplog):
    assert plan_collect_stats(stats).state == "would run"
    assert collects(stats, caplog)
    plan = plan_collect_stats(stats)
    assert plan.state == "up to date"
    assert tmp_path / "manifest" / "train.tsv" in plan.decides_by
    assert plan.outputs == (tmp_path / "stats" / "train", tmp_path / "stats" / "valid")
    assert not collects(stats, caplog)

    manifest = tmp_path / "manifest" / "train.tsv"
    os.utime(manifest, (1, 1))
    assert plan_collect_stats(stats).state == "up to date"
    manifest.write_text("a\ta.wav\tgood bye\n")
    plan = plan_collect_stats(stats)
    assert plan.state == "would run"
    assert f"train: changed: data.{manifest}" in plan.why
    assert "valid: same" in plan.why
    assert collects(stats, caplog)

    stats["dataset"]["uid_key"] = None
    assert "changed: settings.dataset_config" in plan_collect_stats(stats).why
    assert collects(stats, caplog)
    stats["model"]["size"] = 2  # lengths do not depend on the model
    assert plan_collect_stats(stats).state == "up to date"
    assert not collects(stats, caplog)
    stats["collect_stats"]["resume"] = False
    assert "resume is false" in plan_collect_stats(stats).why


def test_data_without_named_files_are_left_to_the_stage(stats, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(Hidden, "folder", tmp_path)
    for mode in ("train", "valid"):
        stats["dataset"][mode] = [{"dataset": {"_target_": f"{HERE}.Hidden"}}]
    assert collects(stats, caplog)
    plan = plan_collect_stats(stats)
    assert plan.state == "unknown"
    assert "only the built data set can tell" in plan.why


def test_a_module_of_the_recipe_decides_itself(stats):
    plan = plan_collect_stats(stats | {"lightning_module": {"_target_": "src.m.M"}})
    assert plan.state == "unknown"
    assert "lightning_module" in plan.why


def test_train_does_what_its_plan_says(tmp_path, caplog):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    plan = plan_train(config)
    assert (plan.state, plan.why) == ("would run", "from scratch")
    assert plan.outputs[1:] == (tmp_path / "last.ckpt", tmp_path / "valid.loss.ave.pth")
    weights = plan_train(config | {"init_from": {"path": "weights.pth"}})
    assert weights.why == "from the weights in weights.pth (init_from)"
    train(config)
    plan = plan_train(config)
    assert plan.state == "up to date"
    assert plan.why.startswith("finished: 2 epochs, 4 steps")
    assert plan.notes == ("to go on: raise trainer.max_epochs",)
    with caplog.at_level(logging.INFO):
        train(config)
    assert "Nothing to do" in caplog.text

    config["trainer"]["max_epochs"] = 3
    plan = plan_train(OmegaConf.create(config))
    assert plan.state == "would run"
    assert plan.why.startswith("goes on after 2 epochs, 4 steps")
    assert plan.notes == (f"trainer.max_epochs: 2 -> 3 (since {tmp_path / 'training.yaml'})",)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        train(config)
    assert "Going on after 4 steps" in caplog.text


def test_changes_after_the_end_of_a_run_are_shown_as_not_trained(tmp_path):
    config = toy_config(tmp_path, fit={"ckpt_path": "auto"})
    config["trainer"]["max_epochs"] = 1
    train(config)
    config["model"]["hidden"] = 5
    del config["optimizer"]["lr"]
    notes = plan_train(config).notes
    assert "what changed is not trained, because the run is finished:" in notes
    assert any(note.startswith("model.hidden: absent -> 5") for note in notes)
    assert any(note.startswith("optimizer.lr: 0.05 -> absent") for note in notes)


def test_a_start_from_scratch_over_a_checkpoint_is_said(tmp_path):
    (tmp_path / "last.ckpt").touch()
    plan = plan_train(toy_config(tmp_path))
    assert (plan.state, plan.why) == ("would run", "from scratch")
    assert "fit.ckpt_path: auto would go on" in plan.notes[0]


def test_a_named_checkpoint_is_where_training_starts(tmp_path):
    path = tmp_path / "a.ckpt"
    config = toy_config(tmp_path, fit={"ckpt_path": str(path)})
    with pytest.raises(ConfigError, match="no such checkpoint"):
        plan_train(config)
    path.touch()
    assert plan_train(config).why == f"from the checkpoint {path}"


def test_only_some_of_many_changes_are_listed(tmp_path):
    (tmp_path / "training.yaml").write_text("\n".join(f"k{n}: 1" for n in range(30)))
    assert plan_train(toy_config(tmp_path)).notes[-1].startswith("and ")
