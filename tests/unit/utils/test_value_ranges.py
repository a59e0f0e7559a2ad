"""Numbers outside their range, names of groups and texts that stand for null."""

from __future__ import annotations

from pathlib import Path

import pytest

from espnet3.utils.config_utils import load_config_with_defaults
from espnet3.utils.key_accounting import check_config

ADAM = "optimizer: {_target_: torch.optim.AdamW, lr: 0.1, param_groups: [{params: a, %s}]}"
ENCODER = (
    "model: {_target_: espnet3.systems.asr.models.asr_model.ASRModel, token_list: t,"
    " encoder: {type: conformer, %s}}"
)
RUNNER = "runner: {_target_: espnet3.systems.base.inference_runner.InferenceRunner, %s}"
DATA = (
    "dataset: {_target_: espnet3.components.data.data_organizer.DataOrganizer, preprocessor:"
    " {_target_: espnet3.components.data.preprocessor.CommonPreprocessor, train: true, %s}}"
)


def texts(path: Path, text: str, slot: str = "training") -> list[str]:
    file = path / f"{slot}.yaml"
    file.write_text(text)
    config = load_config_with_defaults(file, resolve=False)
    return [str(finding.error) for finding in check_config(config, slot) if finding.is_fatal]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: -1", "seed = -1: must not be negative"),
        ("num_device: 0", "num_device = 0: must be at least 1, or -1 for all devices"),
        ("num_nodes: 0", "num_nodes = 0: must be at least 1"),
        ("rank_timeout: 0", "rank_timeout = 0: must be positive"),
        ("optimizer: {lr: 0}", "optimizer.lr = 0: must be positive"),
        ("dataloader: {train: {batch_size: 0}}", "train.batch_size = 0: must be at least 1"),
        ("dataloader: {train: {num_workers: -1}}", "num_workers = -1: must be at least 0"),
        (
            "dataloader: {train: {loader: native, max_batch_size: 0}}",
            "train.max_batch_size = 0: must be at least 1",
        ),
        (ENCODER % "num_blocks: 0", "model.encoder.num_blocks = 0: must be at least 1"),
        (ENCODER % "dropout_rate: 1.5", "dropout_rate = 1.5: must lie between 0 and 1"),
        (ENCODER % "layer_drop: -0.1", "layer_drop = -0.1: must lie between 0 and 1"),
        (DATA % "token_type: bep", "token_type = 'bep': must be one of bpe, char, word\n  did you"),
    ],
)
def test_a_number_outside_its_range_is_one_error_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    (found,) = texts(tmp_path, text)
    assert "training.yaml:1: " in found
    assert message in found


@pytest.mark.parametrize(
    "text",
    [
        "seed: 0",
        "num_device: -1",
        "rank_timeout: 1",
        "optimizer: {lr: 1.0e-5}",
        ENCODER % "num_blocks: 1, dropout_rate: 0.0, layer_drop: 1",
        DATA % "token_type: null",
        ADAM % "lr: 0.5",
    ],
)
def test_the_ends_of_a_range_belong_to_it(tmp_path: Path, text: str) -> None:
    assert texts(tmp_path, text) == []


def test_a_parameter_group_takes_arguments_of_its_optimizer(tmp_path: Path) -> None:
    (found,) = texts(tmp_path, ADAM % "lrr: 0.5")
    assert "optimizer.param_groups[0].lrr: is not an argument of torch.optim.AdamW" in found
    assert 'did you mean "lr"?' in found
    (found,) = texts(tmp_path, ADAM % "lr: fast")
    assert "optimizer.param_groups[0].lr = 'fast': expected float" in found
    (found,) = texts(tmp_path, ADAM % "lr: -1")
    assert "optimizer.param_groups[0].lr = -1: must be positive" in found


def test_arguments_of_the_runner_and_the_provider_are_checked(tmp_path: Path) -> None:
    (found,) = texts(tmp_path, RUNNER % "resum: false", "inference")
    assert "inference.yaml:1: runner.resum: is not an argument of" in found
    assert 'did you mean "resume"?' in found
    assert texts(tmp_path, RUNNER % "resume: false, async_mode: true", "inference") == []
    provider = "provider: {_target_: espnet3.systems.base.inference_provider.InferenceProvider, %s}"
    (found,) = texts(tmp_path, provider % "parms: {}", "inference")
    assert 'did you mean "params"?' in found


def test_sizes_of_inference_are_at_least_one(tmp_path: Path) -> None:
    (found,) = texts(tmp_path, "batch_size: 0", "inference")
    assert "batch_size = 0: must be at least 1" in found
    model = "model: {_target_: espnet3.systems.asr.recognizer.SpeechRecognizer, train_config: a,"
    (found,) = texts(tmp_path, f"{model} model_file: b, beam_size: 0}}", "inference")
    assert "model.beam_size = 0: must be at least 1" in found


@pytest.mark.parametrize(
    "text",
    ["dataset: {preprocessor: None}", "seed: None", "model: {_target_: x.Y, a: {b: None}}"],
)
def test_the_text_none_is_no_null(tmp_path: Path, text: str) -> None:
    found = "\n".join(texts(tmp_path, text))
    assert found.count("= 'None'") == 1
    assert "in YAML, null is written null" in found


def test_the_text_none_may_be_an_item_a_name_or_a_key_of_the_recipe(tmp_path: Path) -> None:
    text = "scheduler_monitor: None\nmine: None\nmodel: {_target_: x.Y, a: [None]}"
    assert "None" not in "".join(texts(tmp_path, text)).replace("x.Y", "")


def test_a_misspelt_override_is_offered(tmp_path: Path) -> None:
    (found,) = texts(tmp_path, "strict: true\noveride scheduler: null\n")
    assert 'did you mean "override scheduler"' in found
