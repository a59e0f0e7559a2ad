"""What can be decided before the run about metrics, devices and log modes."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from espnet3.systems.asr.run_checks import check_asr
from espnet3.systems.asr.system import ASRSystem
from espnet3.systems.base.monitored_metrics import check_modes, check_names, iter_monitored
from espnet3.systems.base.output_checks import check_inference, check_measure
from espnet3.systems.base.run_checks import check_stages
from espnet3.utils.run_checks import RunRequest, check_run

STOPPING = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "valid/lss"}
RECOGNIZER = "espnet3.systems.asr.recognizer.SpeechRecognizer"


def request(stages: str = "", **slots: Any) -> RunRequest:
    configs = {slot: OmegaConf.create(content) for slot, content in slots.items()}
    return RunRequest(configs=configs, stages=stages.split(), system_cls=ASRSystem)


def errors(findings: Any) -> list[str]:
    return [f"{finding.error.key}: {finding.error.message}" for finding in findings]


def test_everything_that_follows_a_metric_is_checked():
    training = {
        "best_model_criterion": [["loss", 3, "min"]],
        "scheduler_monitor": "valid/los",
        "trainer": {"callbacks": [STOPPING, {**STOPPING, "monitor": "step"}]},
    }
    run = request(training=training)
    keys = ["best_model_criterion[0]", "scheduler_monitor", "trainer.callbacks[0].monitor"]
    assert [key.removeprefix("training.") for key, _ in iter_monitored(run)] == keys
    assert errors(check_modes(run)) == [
        "best_model_criterion[0]: nothing logs this metric: names begin with train/ or valid/"
    ]
    found = list(check_names(run, ("loss", "wer")))
    assert [finding.error.key for finding in found] == keys[1:]
    assert "valid/loss" in (found[0].error.hint or "")


@pytest.mark.parametrize(
    "training",
    [
        {"trainer": {"callbacks": [STOPPING, {"_target_": "src.callbacks.Logs"}]}},
        {"trainer": {"callbacks": [STOPPING]}, "lightning_module": {"_target_": "src.a.B"}},
    ],
)
def test_code_of_the_user_may_log_anything(training):
    assert list(iter_monitored(request(training=training))) == []


@pytest.mark.parametrize("mode", ["rank0", "PER_RANK", None])
def test_log_modes(mode):
    assert errors(check_stages(request(training={"stage_log_mode": mode}))) == []


def devices(target: str, device: Any) -> list[str]:
    inference = {
        "dataset": {"test": [{"name": "a"}]},
        "inference_dir": "x",
        "input_key": "speech",
        "provider": {"_target_": "a.B"},
        "runner": {"_target_": "a.B"},
        "model": {"_target_": target},
        "device": device,
    }
    return [e for e in errors(check_inference(request(inference=inference))) if "device" in e]


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:3", "mps", None])
def test_devices_that_exist(device):
    assert devices(RECOGNIZER, device) == []


@pytest.mark.parametrize("device", ["cud", "cuda:", "cuda:x", "gpu", 0])
def test_devices_that_do_not_exist(device):
    assert devices(RECOGNIZER, device) == ["device: is not a device"]


def test_a_model_of_the_user_may_know_other_devices():
    assert devices("src.model.Remote", "auto") == []
    assert devices("src.model.Remote", "cuad") == ["device: is not a device"]


def asr_errors(stages: str, **training: Any) -> list[str]:
    return errors(check_asr(request(stages, training=training)))


def test_a_tokenizer_needs_its_text_and_its_folder(tmp_path):
    section = {"model_type": "word", "vocab_size": 5, "save_path": str(tmp_path)}
    for stage in ("train_tokenizer", "train"):
        found = asr_errors(stage, tokenizer=section)
        assert found == ["tokenizer.text_builder.func: must be set"]
    assert asr_errors("infer", tokenizer=section) == []
    assert asr_errors("train", tokenizer=None) == []
    assert asr_errors("train", tokenizer={**section, "save_path": None}) == [
        "tokenizer.save_path: must be set"
    ]
    for name in ("word.model", "word.vocab", "tokens.txt"):
        (tmp_path / name).write_text("")
    assert asr_errors("train", tokenizer=section) == []


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (None, "model.encoder: must be set"),
        ({"attention_heads": 5}, "model.encoder.output_size: must be an even multiple of"),
        ({"cnn_kernel": 14}, "model.encoder.cnn_kernel: must be odd"),
    ],
)
def test_sizes_of_an_encoder_are_checked_before_it_is_built(encoder, message):
    base = {"type": "conformer", "output_size": 96}
    target = "espnet3.systems.asr.models.asr_model.ASRModel"
    model = {"_target_": target, "encoder": encoder and {**base, **encoder}}
    (found,) = asr_errors("train", model=model)
    assert found.startswith(message)


def test_an_earlier_run_to_compare_with_must_exist(tmp_path):
    metrics = {"inference_dir": str(tmp_path), "metrics": [], "compare_with": "nothing"}
    assert errors(check_measure(request(metrics=metrics))) == ["compare_with: no such folder"]
    metrics["compare_with"] = str(tmp_path)
    assert errors(check_measure(request(metrics=metrics))) == []


def test_a_model_from_an_absent_file_is_one_mistake(tmp_path):
    """What the file would say about the model is not missing besides."""
    model = f"${{load_yaml:{tmp_path}/config.yaml}}"
    training = {"task": "espnet2.tasks.asr.ASRTask", "model": model, "exp_dir": "exp"}
    run = request("train", training=training | {"dataset": {"_target_": "a.B"}})
    found = [text for text in errors(check_run(run)) if text.startswith("model")]
    assert found == ["model: no such file"]
