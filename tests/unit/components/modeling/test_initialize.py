from __future__ import annotations

import math

import pytest
import torch
from omegaconf import OmegaConf

from espnet3.components.modeling.frozen import FrozenParts
from espnet3.components.modeling.initialize import METHODS, initialize
from espnet3.components.modeling.model_summary import (
    build_model_summary,
    format_bytes,
    format_count,
)
from espnet3.errors import SettingError
from espnet3.utils.key_accounting import check_config


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 50, 3)
        self.linear = torch.nn.Linear(50, 40)
        self.norm = torch.nn.LayerNorm(40)
        self.embed = torch.nn.Embedding(100, 30)
        self.lstm = torch.nn.LSTM(4, 8)


class SetsItself(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.calls: list[str] = []

    def espnet_initialization_fn(self) -> None:
        self.calls.append("own")
        torch.nn.init.constant_(self.linear.weight, 3.0)

    def reload_pretrained_parameters(self) -> None:
        self.calls.append("reload")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_sets_weights_and_zeroes_biases(method):
    torch.manual_seed(0)
    model = Net()
    model.norm.weight.data.fill_(1.0)
    before = model.linear.weight.clone()
    initialize(model, method)
    assert not torch.equal(model.linear.weight, before)
    assert torch.count_nonzero(model.linear.bias) == 0
    assert torch.count_nonzero(model.conv.bias) == 0
    assert torch.equal(model.norm.weight, torch.ones(40))
    assert model.embed.weight.std().item() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("method", "std"),
    [
        ("xavier_normal", math.sqrt(2 / 90)),
        ("xavier_uniform", math.sqrt(2 / 90)),
        ("kaiming_normal", math.sqrt(2 / 50)),
        ("kaiming_uniform", math.sqrt(2 / 50)),
        ("normal", 0.02),
        ("chainer", math.sqrt(1 / 50)),
    ],
)
def test_spread_of_the_weights(method, std):
    torch.manual_seed(1)
    model = Net()
    initialize(model, method)
    assert model.linear.weight.std().item() == pytest.approx(std, rel=0.1)


def test_chainer_opens_forget_gates_and_counts_the_kernel():
    torch.manual_seed(0)
    model = Net()
    initialize(model, "chainer")
    assert model.lstm.bias_ih_l0.tolist() == [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    assert model.conv.weight.std().item() == pytest.approx(math.sqrt(1 / 12), rel=0.1)


def test_frozen_parameters_keep_their_values():
    model = Net()
    model.linear.requires_grad_(False)
    before = model.linear.weight.clone()
    initialize(model, "normal")
    assert torch.equal(model.linear.weight, before)


def test_modules_have_the_last_word():
    model = SetsItself()
    initialize(model, "normal")
    assert model.calls == ["own", "reload"]
    assert torch.equal(model.linear.weight, torch.full((2, 2), 3.0))


def test_unknown_method_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"xavier_uniform, .*chainer(.|\n)*did you mean"):
        initialize(Net(), "xavier_unifrm")


def test_frozen_parts_stay_in_evaluation_mode():
    model = torch.nn.ModuleDict({"encoder": torch.nn.BatchNorm1d(2), "head": torch.nn.Linear(2, 1)})
    frozen = FrozenParts(model, ["encoder"])
    model.train()
    frozen.enforce()
    assert not model["encoder"].training
    assert model["head"].training
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


def test_freezing_nothing_that_exists_is_an_error():
    with pytest.raises(SettingError, match="freeze"):
        FrozenParts(Net(), ["decoder"])


def test_summary_counts_everything():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    model[0].requires_grad_(False)
    summary = build_model_summary(model)
    assert summary["class_name"] == "Sequential"
    assert (summary["total_params"], summary["trainable_params"]) == (12, 4)
    assert summary["non_trainable_params"] == 8
    assert summary["trainable_ratio"] == pytest.approx(100 / 3)
    assert (summary["size_bytes"], summary["total_buffers"]) == (48, 5)
    assert summary["buffer_size_bytes"] == 2 * 2 * 4 + 8
    assert (summary["module_count"], summary["leaf_module_count"]) == (3, 2)
    assert summary["dtype_desc"] == "torch.float32(94.1%), torch.int64(5.9%)"
    assert summary["total_params_display"] == "12"


def test_summary_of_a_model_without_parameters():
    summary = build_model_summary(torch.nn.ReLU())
    assert summary["total_params"] == 0
    assert summary["trainable_ratio"] == 0.0
    assert summary["dtype_desc"] == "none"


def test_dtype_shares_add_up_to_100():
    model = torch.nn.Module()
    for index, dtype in enumerate((torch.float32, torch.float16, torch.float64)):
        model.register_buffer(f"b{index}", torch.zeros(1, dtype=dtype))
    shares = build_model_summary(model)["dtype_desc"].split("(")[1:]
    assert sum(float(part.split("%")[0]) for part in shares) == pytest.approx(100.0)


def test_units():
    assert format_count(999) == "999"
    assert format_count(1_234_567) == "1.23 M"
    assert format_bytes(0) == "0 B"
    assert format_bytes(3 * 1024**3) == "3 GiB"


def test_a_method_that_does_not_exist_is_found_in_the_configuration():
    [finding] = check_config(OmegaConf.create({"init": "xavier"}), "training")
    assert finding.is_fatal
    assert "xavier_uniform" in str(finding.error)
    for method in METHODS:
        assert check_config(OmegaConf.create({"init": method}), "training") == []
