from __future__ import annotations

import argparse

import pytest
import yaml

from espnet3.systems.asr.task import ASRTask
from espnet3.systems.asr.transducer_task import ASRTransducerTask
from tests.espnet2.corpus import TOKENS

TASKS = [ASRTask, ASRTransducerTask]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("command", [["--help"], ["--print_config"], []])
def test_the_command_ends_after_help_and_configuration(task, command, capsys):
    with pytest.raises(SystemExit):
        task.main(cmd=command)
    capsys.readouterr()


@pytest.mark.parametrize("task", TASKS)
def test_a_printed_configuration_can_be_read_back(task, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])
    path = tmp_path / "config.yaml"
    with path.open("w") as file:
        task.print_config(file=file)
    arguments = task.get_parser().parse_args(["--config", str(path)])
    printed = yaml.safe_load(path.read_text())
    assert vars(arguments)["frontend_conf"] == printed["frontend_conf"]
    assert printed["frontend_conf"]["n_mels"] == 80


def test_the_data_names_are_those_of_the_tasks():
    assert "prompt" in ASRTask.optional_data_names()
    assert ASRTransducerTask.required_data_names() == ("speech", "text")
    assert ASRTransducerTask.required_data_names(inference=True) == ("speech",)
    assert ASRTransducerTask.optional_data_names() == ()


@pytest.mark.parametrize("task", TASKS)
def test_a_token_list_is_a_path_or_a_list(task, tmp_path):
    path = tmp_path / "tokens.txt"
    path.write_text("\n".join(TOKENS))
    options = vars(task.get_parser().parse_args([]))
    if task is ASRTransducerTask:
        blocks = [
            {
                "block_type": "conformer",
                "hidden_size": 8,
                "linear_size": 8,
                "heads": 2,
                "conv_mod_kernel_size": 3,
            }
        ]
        options["encoder_conf"] = {"body_conf": blocks}
    else:
        options |= {"encoder": "transformer", "encoder_conf": {"num_blocks": 1}}
        options["decoder"] = "transformer"
    for tokens in (TOKENS, str(path)):
        model = task.build_model(argparse.Namespace(**{**options, "token_list": tokens}))
        assert model.vocab_size == len(TOKENS)
    with pytest.raises(RuntimeError, match="str or list"):
        task.build_model(argparse.Namespace(**{**options, "token_list": 3}))


@pytest.mark.parametrize("task", TASKS)
def test_batches_are_padded_and_preprocessing_can_be_left_out(task):
    options = argparse.Namespace(use_preprocessor=False)
    assert task.build_preprocess_fn(options, train=True) is None
    collate = task.build_collate_fn(options, train=True)
    assert (collate.float_pad_value, collate.int_pad_value) == (0.0, -1)
