"""A run that needs ESPnet2 says so before its first stage."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.utils import espnet2_needs
from espnet3.utils.espnet2_needs import iter_needs, missing_espnet2, needs_espnet2

TASK = "espnet2.tasks.asr.ASRTask"
SGD = {"_target_": "espnet2.optimizers.sgd.SGD"}
BACK_END = {"_target_": "espnet2.bin.asr_inference.Speech2Text"}


@pytest.fixture(autouse=True)
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espnet2_needs, "is_espnet2_installed", lambda: False)
    monkeypatch.setattr("espnet3.utils.target_aliases.is_espnet2_installed", lambda: False)


@pytest.mark.parametrize(
    ("stage", "config", "keys"),
    [
        ("train", {"task": TASK}, ["task"]),
        ("collect_stats", {"task": TASK}, ["task"]),
        ("train_easy", {"task": TASK}, ["task"]),
        ("train_tokenizer", {"task": TASK}, []),
        ("pack_model", {"task": TASK}, []),
        ("infer", {"model": BACK_END}, ["model._target_"]),
        ("train", {"optimizer": SGD}, ["optimizer._target_"]),
        ("collect_stats", {"optimizer": SGD}, []),
        ("measure", {"metrics": [{"metric": {"clean_types": ["tacotron"]}}]},
         ["metrics[0].metric.clean_types"]),
        ("measure", {"metrics": [{"metric": {"clean_types": None}}]}, []),
        # Ours stands in for this one.
        ("train", {"scheduler": {"_target_": "espnet2.schedulers.warmup_lr.WarmupLR"}}, []),
    ],
)  # fmt: skip
def test_what_a_stage_builds_counts(stage: str, config: dict, keys: list[str]) -> None:
    assert [key for key, _ in iter_needs(stage, config)] == keys


def test_classes_of_ours_that_import_it_count_too() -> None:
    assert needs_espnet2("espnet3.systems.asr.transducer_recognizer.TransducerRecognizer")
    assert needs_espnet2("espnet3.systems.asr.task.ASRTask")
    assert not needs_espnet2("espnet3.systems.asr.models.ASRModel")


def test_all_slots_and_stages_are_named_with_the_command_that_helps() -> None:
    configs = {
        "training_config": OmegaConf.create({"task": TASK, "model": "${nowhere}"}),
        "inference_config": OmegaConf.create({"model": BACK_END}),
        "metrics_config": None,
    }
    error = missing_espnet2(configs, ["create_dataset", "collect_stats", "train", "infer"])
    assert error is not None
    assert f"training.task = {TASK!r} (stage collect_stats, train)" in str(error)
    assert "inference.model._target_" in str(error) and "(stage infer)" in str(error)
    assert 'pip install "espnet3[espnet2]"' in str(error)
    assert missing_espnet2(configs, ["create_dataset", "measure"]) is None


def test_the_slot_of_a_recipes_own_stage_counts() -> None:
    configs = {"training_easy_config": OmegaConf.create({"task": TASK})}
    required = {"train_easy": "training_easy_config"}
    error = missing_espnet2(configs, ["train_easy"], required)
    assert "training_easy.task" in str(error)


def test_nothing_is_missing_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espnet2_needs, "is_espnet2_installed", lambda: True)
    configs = {"training_config": OmegaConf.create({"task": TASK})}
    assert missing_espnet2(configs, ["train"]) is None
