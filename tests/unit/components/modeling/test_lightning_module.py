from __future__ import annotations

import math

import lightning
import pytest
import torch

from espnet3.components.modeling.lightning_module import ESPnetLightningModule
from espnet3.components.trainers.quiet import quiet_lightning
from espnet3.components.trainers.trainer import ESPnet3LightningTrainer
from espnet3.errors import ModelOutputError, SettingError
from tests.unit.components import toy_training
from tests.unit.components.toy_training import HERE, ToyModel, toy_config


def make_module(model=None, **changes):
    return ESPnetLightningModule(model or ToyModel(), toy_config("unused", **changes))


def make_batch(count=2):
    return [f"u{i}" for i in range(count)], {"x": torch.randn(count, 4), "y": torch.randn(count, 1)}


class Scripted(torch.nn.Module):
    """Returns prepared losses, one per call; ``NaN`` goes through the weights."""

    def __init__(self, losses, stats=None, weight=1):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.losses = list(losses)
        self.stats = stats
        self.weight = weight

    def forward(self, **batch):
        loss = self.scale * self.losses.pop(0)
        return loss, {"loss": loss.detach()} if self.stats is None else self.stats, self.weight


def fit(module, tmp_path, **section):
    settings = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        **section,
    }
    trainer = ESPnet3LightningTrainer(module, tmp_path, settings)
    trainer.fit()
    return trainer


def test_steps_return_the_loss_without_a_trainer():
    module = make_module()
    assert module.training_step(make_batch(), 0).requires_grad
    assert module.validation_step(make_batch(), 0).ndim == 0


def test_bare_mapping_is_a_batch():
    assert make_module().training_step(make_batch()[1], 0) is not None


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_invalid_batch_is_skipped_and_counted(loss, caplog):
    module = make_module(Scripted([1.0, loss, loss, 1.0]))
    results = [module.training_step(make_batch(), i) for i in range(4)]
    assert [r is None for r in results] == [False, True, True, False]
    assert module.nan_countdown == 1
    assert "batch=1 utterances=u0,u1" in caplog.text


def test_100_invalid_batches_in_a_row_are_enough():
    module = make_module(Scripted([math.nan] * 2))
    module.nan_countdown = 99
    module.training_step(make_batch(), 0)
    with pytest.raises(RuntimeError, match="Too many NaNs"):
        module.training_step(make_batch(), 1)


def test_invalid_validation_batches_do_not_count_towards_the_abort():
    module = make_module(Scripted([math.nan]))
    assert module.validation_step(make_batch(), 0) is None
    assert module.nan_countdown == 0


def test_skipped_batches_change_no_weights(tmp_path):
    adamw = {"_target_": "torch.optim.AdamW", "lr": 0.1, "weight_decay": 0.5}
    loader = {"batch_size": 2}
    scales = []
    for losses in ([1.0], [1.0, math.nan, math.inf]):
        module = make_module(
            Scripted(losses), optimizer=adamw, dataloader={"train": loader, "valid": loader}
        )
        fit(module, tmp_path, limit_train_batches=len(losses), limit_val_batches=0)
        scales.append(module.model.scale.item())
    assert scales[0] == scales[1] != 1.0


@pytest.mark.parametrize(
    ("weight", "has_batch_size"), [(3, True), (torch.tensor(3.0), True), (None, False)]
)
def test_one_log_call_with_batch_size_only_if_there_is_a_weight(
    monkeypatch, weight, has_batch_size
):
    calls = []
    stats = {"a": torch.tensor(1.0), "none": None, "b": 2, "vector": torch.zeros(3), "c": "text"}
    module = make_module(Scripted([1.0, 1.0, 1.0], stats, weight))
    module._trainer = type("T", (), {"_results": None, "current_epoch": 0})()
    monkeypatch.setattr(module, "log_dict", lambda values, **kw: calls.append((values, kw)))
    module.training_step(make_batch(), 0)
    module.validation_step(make_batch(), 0)
    (train_values, train_options), (valid_values, valid_options) = calls
    assert set(train_values) == {"train/a", "train/b"}
    assert set(valid_values) == {"valid/a", "valid/b"}
    assert train_options["prog_bar"] is True
    assert train_options["logger"] is True
    assert (train_options["sync_dist"], valid_options["sync_dist"]) == (False, True)
    assert ("batch_size" in train_options) is has_batch_size
    if has_batch_size:
        assert train_options["batch_size"] == 3


def test_values_that_cannot_be_logged_warn_once_per_key(caplog):
    module = make_module(Scripted([1.0] * 3, {"vector": torch.zeros(3)}))
    for index in range(3):
        module.training_step(make_batch(), index)
    assert caplog.text.count("vector") == 1


def test_stats_that_are_no_dict_are_an_error():
    with pytest.raises(AssertionError, match="Model output `stats` must be a dict"):
        make_module(Scripted([1.0], [1, 2])).training_step(make_batch(), 0)


@pytest.mark.parametrize(
    ("weights", "expected"), [([3, 1], (3 * 1 + 5) / 4), ([None, None], (3 * 1 + 1 * 5) / 4)]
)
def test_epoch_mean_weighs_batches_by_weight_or_number_of_ids(tmp_path, weights, expected):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, **batch):
            loss = self.scale * (1.0 if len(x) == 3 else 5.0)
            return loss, {"loss": loss.detach()}, weights[0 if len(x) == 3 else 1]

    loader = {"batch_size": 3}
    still = {"_target_": "torch.optim.SGD", "lr": 0.0}
    module = make_module(Model(), optimizer=still, dataloader={"train": loader, "valid": loader})
    trainer = fit(module, tmp_path, limit_train_batches=1)
    assert float(trainer.trainer.callback_metrics["valid/loss"]) == pytest.approx(expected)


def test_batches_without_ids_count_equally(tmp_path):
    class NoIds(ESPnetLightningModule):
        def validation_step(self, batch, batch_idx):
            return super().validation_step(batch[1], batch_idx)

    model = Scripted([0.0, 1.0, 5.0], weight=None)
    config = toy_config(
        "unused", dataloader={"train": {"batch_size": 8}, "valid": {"batch_size": 3}}
    )
    trainer = fit(NoIds(model, config), tmp_path)
    assert float(trainer.trainer.callback_metrics["valid/loss"]) == pytest.approx(3.0)


def test_state_has_bare_keys_and_loads_prefixed_ones():
    module = make_module()
    assert set(module.state_dict()) == set(module.model.state_dict())
    other = make_module()
    other.load_state_dict({f"model.{k}": v for k, v in module.state_dict().items()})
    assert torch.equal(other.model.head.weight, module.model.head.weight)
    with pytest.raises(RuntimeError, match="missing"):
        other.load_state_dict({"head.weight": module.model.head.weight})


def test_collate_switch_follows_the_collate_function():
    module = make_module()
    module.train_dataloader()
    assert module.train_dataset.use_espnet_collator is True
    own = {"_target_": "torch.utils.data.default_collate", "_partial_": True}
    loader = {"batch_size": 2}
    module = make_module(dataloader={"collate_fn": own, "train": loader, "valid": loader})
    module.train_dataset.use_espnet_collator = True
    module.train_dataloader()
    assert module.train_dataset.use_espnet_collator is False


def test_loader_modes_must_agree_and_loader_wins_over_factory():
    factory = {"_target_": "builtins.dict"}
    with pytest.raises(AssertionError, match="same type of dataloader"):
        make_module(dataloader={"train": {"iter_factory": factory}, "valid": {}})
    both = {"iter_factory": factory}
    assert make_module(dataloader={"train": both, "valid": both}).is_espnet_sampler
    native = {"iter_factory": factory, "loader": "native"}
    assert not make_module(dataloader={"train": native, "valid": native}).is_espnet_sampler
    assert not make_module(
        dataloader={"train": {}, "valid": {"iter_factory": None}}
    ).is_espnet_sampler


def test_module_without_optimizer_section_can_be_built():
    module = make_module(optimizer=None)
    with pytest.raises(ValueError, match="Must specify either"):
        module.configure_optimizers()


def test_criterion_with_parameters_is_refused():
    with pytest.raises(SettingError, match="criterion"):
        make_module(criterion={"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1})


def test_raw_output_without_criterion_points_to_it():
    with pytest.raises(ModelOutputError, match="criterion"):
        make_module(toy_training.ToyLogits()).training_step(make_batch(), 0)


def test_frozen_parts_stay_in_evaluation_mode_during_fit(tmp_path):
    modes = []

    class Watch(lightning.Callback):
        def on_train_batch_start(self, trainer, module, *args):
            modes.append((module.model.norm.training, module.model.head.training))

    module = make_module(freeze=["norm"])
    fit(module, tmp_path, callbacks=[Watch()], max_epochs=2)
    assert set(modes) == {(False, True)}


def test_lightning_stays_quiet_inside_and_loud_outside():
    import logging

    before = logging.getLogger("lightning.pytorch").level
    with quiet_lightning():
        assert logging.getLogger("lightning.pytorch").level == logging.WARNING
    assert logging.getLogger("lightning.pytorch").level == before


def test_dataset_summary_is_logged_once(monkeypatch):
    calls = []
    monkeypatch.setattr(
        toy_training.ToyOrganizer, "log_summary", lambda self: calls.append(1), raising=False
    )
    module = make_module(dataset={"_target_": f"{HERE}.ToyOrganizer", "count": 3})
    assert calls == [1]
    assert len(module.train_dataset) == 3
