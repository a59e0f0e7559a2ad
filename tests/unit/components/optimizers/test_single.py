from __future__ import annotations

import pytest
import torch

from espnet3.components.optimizers.settings import read_optimization
from espnet3.components.optimizers.single import build_optimizer, build_scheduler
from espnet3.errors import ConfigError, MissingConfigError, SettingError

ADAMW = {"_target_": "torch.optim.AdamW", "lr": 0.1, "weight_decay": 0.5}


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Linear(2, 2)
        self.norm = torch.nn.LayerNorm(2)
        self.head = torch.nn.Linear(2, 1)


def names_of(model, group):
    names = {id(p): n for n, p in model.named_parameters()}
    return {names[id(p)] for p in group["params"]}


def test_only_trainable_parameters_are_optimized():
    model = Net()
    model.encoder.requires_grad_(False)
    (group,) = build_optimizer(model, ADAMW).param_groups
    assert names_of(model, group) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}


def test_groups_and_no_decay_split_the_parameters_without_loss():
    model = Net()
    section = {
        **ADAMW,
        "param_groups": [{"params": "encoder", "lr": 0.01}],
        "no_decay": ["bias", "norm"],
    }
    groups = build_optimizer(model, section).param_groups
    found = {frozenset(names_of(model, g)): (g["lr"], g["weight_decay"]) for g in groups}
    assert found == {
        frozenset({"head.weight"}): (0.1, 0.5),
        frozenset({"head.bias", "norm.weight", "norm.bias"}): (0.1, 0.0),
        frozenset({"encoder.weight"}): (0.01, 0.5),
        frozenset({"encoder.bias"}): (0.01, 0.0),
    }
    assert section["no_decay"] == ["bias", "norm"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"param_groups": [{"params": "decoder"}]}, r"param_groups\[0\].params"),
        ({"param_groups": [{"lr": 1.0}]}, "needs `params`"),
        ({"param_groups": [{"params": "head"}, {"params": "bias"}]}, "multiple groups"),
        ({"no_decay": ["biass"]}, "optimizer.no_decay"),
    ],
)
def test_wrong_groups_are_named(section, message):
    with pytest.raises(SettingError, match=message):
        build_optimizer(Net(), {**ADAMW, **section})


def test_model_without_trainable_parameters_is_an_error():
    with pytest.raises(SettingError, match="no trainable parameters"):
        build_optimizer(Net().requires_grad_(False), ADAMW)


def test_scheduler_entry_has_interval_and_monitor_only_if_set():
    settings = read_optimization(
        {
            "optimizer": ADAMW,
            "scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1},
        }
    )
    entry = build_scheduler(build_optimizer(Net(), settings.optimizer), settings)
    assert entry["interval"] == "step"
    assert "monitor" not in entry
    assert isinstance(entry["scheduler"], torch.optim.lr_scheduler.StepLR)


def test_plateau_needs_a_monitor():
    config = {
        "optimizer": ADAMW,
        "scheduler": {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"},
        "scheduler_interval": "epoch",
    }
    optimizer = build_optimizer(Net(), ADAMW)
    with pytest.raises(SettingError, match="scheduler_monitor"):
        build_scheduler(optimizer, read_optimization(config))
    config["scheduler_monitor"] = "valid/loss"
    assert build_scheduler(optimizer, read_optimization(config))["monitor"] == "valid/loss"


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (
            {"optimizer": ADAMW, "optimizers": {"a": {}}},
            AssertionError,
            "Mixture of `optimizer` and `optimizers` is not allowed",
        ),
        (
            {"optimizer": ADAMW, "scheduler": {}, "schedulers": {"a": {}}},
            AssertionError,
            "Mixture of `scheduler` and `schedulers` is not allowed",
        ),
        (
            {},
            ValueError,
            "Must specify either `optimizer` or `optimizers` and `scheduler` or`schedulers` ",
        ),
        ({"scheduler": {"_target_": "x"}}, MissingConfigError, "Must specify either"),
        ({"optimizers": {"a": {}}}, ValueError, "Must specify either"),
        ({"optimizers": {"a": {}}, "schedulers": {"a": {}}}, ConfigError, "named optimizers"),
        ({"optimizer": ADAMW, "scheduler_interval": "x"}, AssertionError, "scheduler_interval"),
        ({"optimizer": {"lr": 1.0}}, MissingConfigError, "_target_"),
        ({"optimizer": "AdamW"}, ConfigError, "must be a mapping"),
    ],
)
def test_errors_of_the_optimization_keys(config, error, message):
    with pytest.raises(error, match=message):
        read_optimization(config)


def test_null_counts_as_absent():
    settings = read_optimization(
        {"optimizer": ADAMW, "scheduler": None, "optimizers": None, "scheduler_interval": None}
    )
    assert settings.scheduler is None
    assert settings.interval == "step"
    assert build_scheduler(build_optimizer(Net(), ADAMW), settings) is None
