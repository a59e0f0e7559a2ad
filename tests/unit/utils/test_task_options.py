"""Mistakes in the options of an ESPnet2 task are found without ESPnet2."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from espnet3.utils.espnet2_table import RUN_OPTIONS, find_arguments, find_task
from espnet3.utils.key_accounting import check_config
from espnet3.utils.source_lookup import check_import_path
from espnet3.utils.source_signatures import find_signature
from espnet3.utils.task_options import check_task_options

ASR = "espnet2.tasks.asr.ASRTask"
TRANSDUCER = "espnet3.systems.asr.transducer_task.ASRTransducerTask"
BLOCK = {"block_type": "conformer", "hidden_size": 8, "linear_size": 8, "conv_mod_kernel_size": 3}


def messages(task: str, **model: Any) -> list[str]:
    return [str(error) for error in check_task_options({"task": task, "model": model})]


def test_correct_options_are_no_mistakes() -> None:
    model = {
        "token_list": "tokens.txt",
        "encoder": "conformer",
        "encoder_conf": {"output_size": 8, "macaron_style": True},
        "decoder": "${other}",
        "decoder_conf": {"anything": 1},
        "specaug": None,
        "ctc_conf": {"dropout_rate": 0.1},
        "model_conf": {"ctc_weight": 0.3},
    }
    assert messages(ASR, **model) == []
    encoder = {"body_conf": [BLOCK], "main_conf": {"swish_beta": 1.0}, "input_conf": {}}
    assert messages(TRANSDUCER, encoder_conf=encoder) == []


@pytest.mark.parametrize(
    ("task", "model", "says"),
    [
        (ASR, {"encodr": "rnn"}, ["model.encodr", 'did you mean "encoder"']),
        (ASR, {"encoder": "conformr"}, ["model.encoder = 'conformr'", '"conformer"']),
        (
            ASR,
            {"encoder": "conformer", "encoder_conf": {"output_sise": 8}},
            ["model.encoder_conf.output_sise", "ConformerEncoder", '"output_size"'],
        ),
        # Without a choice the task's own default counts.
        (ASR, {"encoder_conf": {"macaron_style": True}}, ["macaron_style", "RNNEncoder"]),
        (ASR, {"ctc_conf": {"ctc_tipe": "builtin"}}, ["model.ctc_conf.ctc_tipe", '"ctc_type"']),
        (
            ASR,
            {"decoder": "rnn", "decoder_conf": {"att_conf": {"atyp": "location"}}},
            ["model.decoder_conf.att_conf.atyp", '"atype"'],
        ),
        (
            TRANSDUCER,
            {"encoder_conf": {"body_conf": [BLOCK, {**BLOCK, "headz": 2}]}},
            ["model.encoder_conf.body_conf[1].headz", '"heads"'],
        ),
        (
            TRANSDUCER,
            {"encoder_conf": {"body_conf": [{"block_type": "conv"}]}},
            ["model.encoder_conf.body_conf[0].block_type = 'conv'", '"conv1d"'],
        ),
        (TRANSDUCER, {"ctc_conf": {}}, ["model.ctc_conf", "is not an option of"]),
    ],
)
def test_a_mistake_is_named_with_its_place(
    task: str, model: dict[str, Any], says: list[str]
) -> None:
    (message,) = messages(task, **model)
    assert [part for part in says if part not in message] == []


def test_tasks_that_the_table_does_not_have_are_not_checked() -> None:
    assert find_task("espnet2.tasks.tts.TTSTask") is None
    assert messages("espnet2.tasks.tts.TTSTask", anything=1) == []
    assert list(check_task_options({"task": None, "model": {"_target_": "x"}})) == []


def test_recognisers_have_a_signature_and_need_not_be_installed() -> None:
    path = "espnet2.bin.asr_inference.Speech2Text"
    signature = find_signature(path)
    assert signature is not None
    assert {"asr_train_config", "asr_model_file", "beam_size"} <= set(signature.parameters)
    assert not signature.takes_any
    assert check_import_path(path, key="model._target_") is None
    assert find_arguments("espnet3.systems.asr.models.ASRModel") is None


@pytest.mark.parametrize(
    ("effects", "says"),
    [
        ([[0.5, "speed_perturb", {"factor": 0.9}], [0.5, [[1.0, "clipping", {}]]]], []),
        ([[0.5, [[1.0, "speed_perturb", {"factr": 0.9}]]]], ["[0][1][0][2].factr", '"factor"']),
        ([[0.5, "speed", {}]], ["data_aug_effects[0][1] = 'speed'", "effects: bandpass"]),
        ([[1.0, "speed_pertrb", {}]], ["[0][1] = 'speed_pertrb'", '"speed_perturb"']),
        ([[0.5, "speed_perturb"]], ["data_aug_effects[0] = ", "is not a list of a weight"]),
    ],
)
def test_effects_of_the_preprocessor_are_checked(effects: list[Any], says: list[str]) -> None:
    dataset = {"preprocessor": {"data_aug_effects": effects}}
    found = [str(error) for error in check_task_options({"dataset": dataset})]
    assert len(found) == bool(says)
    assert [part for part in says if part not in "".join(found)] == []


def test_the_whole_configuration_of_an_espnet2_run_is_taken():
    model = {**dict.fromkeys(RUN_OPTIONS), "dist_backend": "nccl", "encoder": "nothing"}
    found = list(check_task_options({"task": "espnet2.tasks.asr.ASRTask", "model": model}))
    assert [error.key for error in found] == ["model.encoder"]
    del model["output_dir"]
    found = list(check_task_options({"task": "espnet2.tasks.asr.ASRTask", "model": model}))
    assert "model.dist_backend" in [error.key for error in found]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("espnet2.tasks.asr.ASRTsk", ["no 'ASRTsk' in espnet2.tasks.asr", '"ASRTask"']),
        ("espnet2.tasks.asrr.ASRTask", ["no 'asrr' in espnet2.tasks", '"asr"']),
        ("espnet2.bin.asr_inference.Speech2Txt", ["espnet2.bin.asr_inference", '"Speech2Text"']),
        ("espnet2.nothing.Thing", ["no 'nothing' in espnet2"]),
        ("espnet2.tasks.asr.ASRTask", []),
        ("espnet2.tasks.mt.MTTask", []),
        ("espnet2.bin.asr_inference.Speech2Text.from_pretrained", []),
        # Imported there from another module.
        ("espnet2.tasks.asr.CommonPreprocessor", []),
    ],
)
def test_names_that_espnet2_does_not_have_are_found_without_it(
    monkeypatch: pytest.MonkeyPatch, path: str, says: list[str]
) -> None:
    monkeypatch.setattr("espnet3.utils.source_lookup._find_module", lambda *_: None)
    monkeypatch.setattr("espnet3.utils.source_lookup.serving_target", lambda path: path)
    error = check_import_path(path, key="task")
    assert (error is None) == (not says)
    assert all(part in str(error) for part in says)


def test_a_misspelt_task_is_found_before_the_run() -> None:
    config = OmegaConf.create({"task": "espnet2.tasks.asr.ASRTsk"})
    (finding,) = check_config(config, "training")
    assert finding.is_fatal and "ASRTsk" in str(finding.error)
