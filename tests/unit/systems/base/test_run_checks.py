"""What can be decided before the run about metrics, devices and log modes."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from espnet3.systems.asr.run_checks import check_asr
from espnet3.systems.asr.system import ASRSystem
from espnet3.systems.base.measure_checks import check_measure
from espnet3.systems.base.monitored_metrics import check_modes, check_names, iter_monitored
from espnet3.systems.base.output_checks import check_inference, check_pack
from espnet3.systems.base.run_checks import check_stages
from espnet3.utils.run_checks import RunRequest, check_run

STOPPING = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "valid/lss"}
RECOGNIZER = "espnet3.systems.asr.recognizer.SpeechRecognizer"
MODEL = "espnet3.systems.asr.models.asr_model.ASRModel"
METRIC = {"metric": {"_target_": "src.metrics.Own"}}
ENCODER = {"type": "conformer", "output_size": 32}


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


WER = "espnet3.systems.asr.metrics.wer.WER"


def measure_errors(run: RunRequest) -> list[tuple[str | None, Any, str | None]]:
    return [(f.error.key, f.error.value, f.error.hint) for f in check_measure(run)]


@pytest.mark.parametrize(
    ("normalizer", "key"),
    [("lowercas", "normalizer"), (["nfkc", "lowercas"], "normalizer[1]")],
)
def test_a_misspelt_normaliser_is_found_before_the_run(normalizer, key, tmp_path):
    metric = {"metric": {"_target_": WER, "normalizer": normalizer}}
    metrics = {"inference_dir": str(tmp_path), "metrics": [metric]}
    assert measure_errors(request(metrics=metrics)) == [
        (f"metrics[0].metric.{key}", "lowercas", 'did you mean "lowercase"?')
    ]


def test_normalisers_of_ours_and_functions_that_exist_are_fine(tmp_path):
    names = ["nfkc", "single_spaces", "textwrap.dedent"]
    metric = {"metric": {"_target_": WER, "normalizer": names}}
    metrics = {"inference_dir": str(tmp_path), "metrics": [metric, {"metric": {"_target_": WER}}]}
    assert measure_errors(request(metrics=metrics)) == []
    metric["metric"]["normalizer"] = "textwrap.dednt"
    assert errors(check_measure(request(metrics=metrics))) == [
        "metrics[0].metric.normalizer: textwrap was found, but it has no attribute 'dednt'"
    ]


def columns(tmp_path, stages="", **metrics: Any) -> list[tuple[str | None, Any, str | None]]:
    (tmp_path / "test").mkdir(exist_ok=True)
    for name in ("ref", "hyp", "speaker"):
        (tmp_path / "test" / f"{name}.scp").write_text("")
    metrics = {"inference_dir": str(tmp_path), "metrics": [METRIC], **metrics}
    return measure_errors(request(stages, metrics=metrics))


def test_columns_of_finished_outputs_are_known(tmp_path):
    assert columns(tmp_path, breakdown=["length", "speaker"], confidence={"block_by": "hyp"}) == []
    first, second = columns(
        tmp_path, breakdown=["length", "spaeker"], confidence={"block_by": "lenght"}
    )
    assert first[:2] == ("breakdown[1]", "spaeker")
    assert 'did you mean "speaker"?' in str(first[2])
    assert second[:2] == ("confidence.block_by", "lenght")
    assert "there are hyp, ref, speaker" in str(second[2])


def test_the_length_is_nothing_to_draw_by(tmp_path):
    ((key, value, _),) = columns(tmp_path, confidence={"block_by": "length"})
    assert (key, value) == ("confidence.block_by", "length")
    metrics = {
        "inference_dir": str(tmp_path),
        "metrics": [METRIC],
        "confidence": {"block_by": "length"},
    }
    (found,) = errors(check_measure(request(metrics=metrics)))
    assert "cannot be blocks" in found


def test_columns_of_a_table_count_and_a_bad_table_is_left_to_the_stage(tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text("utt_id\tgender\n")
    assert columns(tmp_path, breakdown=["gender"], metadata=str(table)) == []
    ((key, *_),) = columns(tmp_path, breakdown=["gendr"], metadata={"test": str(table)})
    assert key == "breakdown[0]"
    table.write_text("gender\n")
    assert columns(tmp_path, breakdown=["gendr"], metadata=str(table)) == []


def test_a_table_must_exist_and_belong_to_a_test_set(tmp_path):
    assert columns(tmp_path, metadata=str(tmp_path / "no.tsv"))[0][0] == "metadata"
    ((key, _, hint),) = columns(tmp_path, metadata={"tset": str(tmp_path / "no.tsv")})
    assert (key, hint) == ("metadata.tset", 'did you mean "test"?')


def test_nothing_is_said_of_columns_while_their_stage_is_unknown(tmp_path):
    assert columns(tmp_path, "report", breakdown=["x"]) == []
    (tmp_path / "empty").mkdir()
    metrics = {"inference_dir": str(tmp_path / "empty"), "breakdown": ["x"], "metrics": [METRIC]}
    assert measure_errors(request(metrics=metrics)) == []


def test_columns_that_infer_will_write(tmp_path):
    inference = {
        "dataset": {"test": [{"name": "test"}]},
        "output_fn": "espnet3.systems.asr.outputs.build_scored_output",
    }
    metrics = {
        "inference_dir": str(tmp_path),
        "metrics": [METRIC],
        "breakdown": ["confidence", "gender"],
    }
    run = request("infer measure", inference=inference, metrics=metrics)
    ((key, value, hint),) = measure_errors(run)
    assert (key, value) == ("breakdown[1]", "gender")
    assert "confidence, hyp, length, ref, utt_id" in str(hint)
    inference["output_fn"] = "src.outputs.build"
    run = request("infer measure", inference=inference, metrics=metrics)
    assert measure_errors(run) == []


@pytest.mark.parametrize("freeze", ["encoder", ["encoder.blocks.0", "ctc", "qkv.weight"], None])
def test_parts_of_the_native_model_may_be_frozen(freeze):
    model = {"_target_": MODEL, "encoder": ENCODER}
    assert asr_errors("train", model=model, freeze=freeze) == []


def test_a_misspelt_part_to_freeze_is_found_before_the_run():
    model = {"_target_": MODEL, "encoder": ENCODER}
    found = asr_errors("train", model=model, freeze=["ctc", "encoder.block.0"])
    assert found == ["freeze[1]: no parameter of the model has this in its name"]
    model["encoder"] = {"_target_": "src.model.Encoder"}
    assert asr_errors("train", model=model, freeze="encoder.layers") == []


def test_a_misspelt_path_to_pack_is_found_before_the_run(tmp_path):
    (tmp_path / "notes.md").write_text("")
    publication = {"recipe_dir": str(tmp_path), "pack_model": {"include": ["note.md", "notes.md"]}}
    (found,) = check_pack(request(publication=publication))
    assert (found.error.key, found.error.hint) == (
        "pack_model.include[0]",
        'did you mean "notes.md"?',
    )
    publication["pack_model"] = {"include": "*.md", "extra": ["other.txt"]}
    assert list(check_pack(request(publication=publication))) == []


def test_an_earlier_run_to_compare_with_must_exist(tmp_path):
    metrics = {"inference_dir": str(tmp_path), "metrics": [METRIC], "compare_with": "nothing"}
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


def test_the_name_of_a_test_set_must_be_a_text():
    inference = {
        "inference_dir": "out",
        "dataset": {
            "_target_": "espnet3.components.data.data_organizer.DataOrganizer",
            "test": [{"name": 5}],
        },
        "input_key": "speech",
        "provider": {"_target_": "a.B"},
        "runner": {"_target_": "a.B"},
    }
    (found,) = check_inference(request("infer", inference=inference))
    assert (found.error.key, found.error.value) == ("dataset.test[0].name", 5)
    assert found.error.message == "must be a text"
