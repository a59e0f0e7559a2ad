"""Task classes of ESPnet2, with one that is made here in its place."""

from __future__ import annotations

import argparse
import sys

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from espnet3.errors import MissingFileError, UntrustedTargetError
from espnet3.publication.security import BundlePolicy
from espnet3.utils.import_utils import use_target_policy
from espnet3.utils.task_utils import (
    build_task_or_target,
    espnet_config_text,
    get_espnet_model,
    get_task_class,
    save_espnet_config,
)

HERE = "tests.unit.utils.test_task_utils"


class ToyTask:
    """What is asked of a task class, with the habits of ESPnet2's."""

    @classmethod
    def get_default_config(cls) -> dict:
        parser = argparse.ArgumentParser()
        parser.add_argument("--size", type=int, default=3)
        arguments = parser.parse_args()  # reads sys.argv
        shared = {"rate": 1}
        return {
            **vars(arguments),
            "token_list": None,
            "encoder": "rnn",
            "encoder_conf": {"layers": 2},
            "decoder_conf": shared,
            "ctc_conf": shared,
            "range": (1, 2),
        }

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> torch.nn.Module:
        args.token_list = "changed"
        model = torch.nn.Linear(args.size, 1)
        model.options = vars(args)
        return model


@pytest.fixture(autouse=True)
def _arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--stages", "train"])


def test_given_options_replace_defaults_as_a_whole():
    config = OmegaConf.create(
        {
            "token_list": ["a"],
            "encoder_conf": {"width": 4},
            "decoder_conf": None,
            "n": 5,
            "m": "${n}",
        }
    )
    model = get_espnet_model(f"{HERE}.ToyTask", config)
    assert model.options["encoder_conf"] == {"width": 4}
    assert model.options["decoder_conf"] == {}
    assert model.options["m"] == 5
    assert config.token_list == ["a"]
    assert sys.argv == ["run.py", "--stages", "train"]


def test_defaults_of_one_part_are_not_those_of_another():
    task = f"{HERE}.ToyTask"
    assert get_espnet_model(task, {"encoder": "rnn"}).options["encoder_conf"] == {"layers": 2}
    assert get_espnet_model(task, {"encoder": "conformer"}).options["encoder_conf"] == {}


def test_arguments_come_back_after_an_error(monkeypatch):
    monkeypatch.setattr(ToyTask, "get_default_config", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        get_espnet_model(f"{HERE}.ToyTask", {})
    assert sys.argv == ["run.py", "--stages", "train"]


def test_without_a_task_the_target_is_built():
    model = build_task_or_target(
        None, {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1}
    )
    assert isinstance(model, torch.nn.Linear)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no_such_package.Task", "no_such_package"),
        (f"{HERE}.NoTask", "NoTask"),
        ("fractions.Fraction", "get_default_config"),
        ("not a path", "not a path"),
    ],
)
def test_what_is_no_task_is_a_runtime_error_that_names_it(path, says):
    with pytest.raises(RuntimeError, match=says) as caught:
        get_task_class(path)
    assert path in str(caught.value)


def test_a_bundle_that_nobody_vouches_for_cannot_name_a_task(tmp_path):
    with use_target_policy(BundlePolicy(tmp_path)), pytest.raises(UntrustedTargetError):
        get_task_class("fractions.Fraction")


def test_the_flat_configuration(tmp_path):
    (tmp_path / "tokens.txt").write_text("a\nß\n", encoding="utf-8")
    config = {
        "seed": 1,
        "model": {
            "_target_": "x",
            "token_list": str(tmp_path / "tokens.txt"),
            "encoder": "e",
            "output_dir": "old",
            "train_shape_file": ["old/shape"],
        },
        "dataset": {"train": [], "preprocessor": {"_target_": "x", "token_type": "char"}},
    }
    text = espnet_config_text(f"{HERE}.ToyTask", config)
    assert yaml.safe_load(text) == {
        "size": 3,
        "token_list": ["a", "ß"],
        "encoder": "e",
        "encoder_conf": {},
        "decoder_conf": {"rate": 1},
        "ctc_conf": {"rate": 1},
        "range": [1, 2],
        "token_type": "char",
        "seed": 1,
        "dataset": {"train": []},
    }
    assert "ß" in text
    assert "&" not in text
    assert text.startswith("size: 3\n")


@pytest.mark.parametrize("name", ["out", "out/other.yaml"])
def test_a_folder_gets_config_yaml_and_a_file_its_own_name(tmp_path, name):
    save_espnet_config(f"{HERE}.ToyTask", {"dataset": None}, tmp_path / name)
    expected = tmp_path / name if name.endswith(".yaml") else tmp_path / name / "config.yaml"
    assert yaml.safe_load(expected.read_text())["dataset"] is None


def test_only_rank_0_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    save_espnet_config(f"{HERE}.ToyTask", {}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_token_list_that_is_not_there_is_named(tmp_path):
    config = {"model": {"token_list": str(tmp_path / "none.txt")}}
    with pytest.raises(MissingFileError, match=r"model\.token_list.*none\.txt"):
        espnet_config_text(f"{HERE}.ToyTask", config)
