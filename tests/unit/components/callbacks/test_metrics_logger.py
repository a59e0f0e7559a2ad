from __future__ import annotations

import json
import logging
import math
import re
import time
import types

import pytest
import torch

from espnet3.components.callbacks.metrics_history import MetricsHistory
from espnet3.components.callbacks.metrics_logger import MetricsLogger
from espnet3.components.callbacks.running_means import RunningMeans


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def make_trainer(**metrics):
    weight = torch.nn.Parameter(torch.zeros(1))
    return types.SimpleNamespace(
        current_epoch=0,
        callback_metrics=metrics,
        optimizers=[torch.optim.SGD([weight], lr=0.5)],
        sanity_checking=False,
    )


def run_batches(callback, trainer, losses, module=None, start=0):
    for index, loss in enumerate(losses, start):
        callback.on_train_batch_start(trainer, module, None, index)
        callback.on_before_backward(trainer, module, None)
        callback.on_after_backward(trainer, module)
        callback.on_before_optimizer_step(trainer, module, None)
        trainer.callback_metrics["train/loss"] = torch.tensor(loss)
        callback.on_train_batch_end(trainer, module, None, None, index)


def test_window_lines_and_epoch_summary(lines):
    callback, trainer = MetricsLogger(2), make_trainer()
    callback.on_train_epoch_start(trainer, None)
    run_batches(callback, trainer, [1.0, 3.0, 5.0, 7.0, 14.0])
    callback.on_train_epoch_end(trainer, None)
    first, second, summary = lines()
    assert first.startswith("1epoch:train:1-2batch: iter_time=")
    assert "loss=2, optim0_lr0=0.5" in first
    assert second.startswith("1epoch:train:3-4batch: ")
    assert "loss=6," in second
    assert summary.startswith("epoch_summary:1epoch:train: ")
    assert "loss=6, optim0_lr0=0.5" in summary
    names = [part.split("=")[0] for part in summary.split(": ")[1].split(", ")]
    assert names == [
        "iter_time",
        "forward_time",
        "backward_time",
        "optim_step_time",
        "train_time",
        "loss",
        "optim0_lr0",
    ]


@pytest.mark.parametrize("every", [0, -1])
def test_no_window_lines_when_switched_off(lines, every):
    callback, trainer = MetricsLogger(every), make_trainer()
    run_batches(callback, trainer, [1.0, 2.0])
    callback.on_train_epoch_end(trainer, None)
    assert [line.split(":")[0] for line in lines()] == ["epoch_summary"]


def test_epoch_without_batches_prints_nothing(lines):
    callback, trainer = MetricsLogger(1), make_trainer()
    callback.on_train_epoch_start(trainer, None)
    callback.on_train_epoch_end(trainer, None)
    assert lines() == []


def test_metric_that_an_earlier_batch_left_behind_does_not_count(lines):
    callback, trainer = MetricsLogger(2), make_trainer(**{"train/rare": torch.tensor(4.0)})
    run_batches(callback, trainer, [1.0, 1.0])
    assert "rare=4" in lines()[0]
    run_batches(callback, trainer, [1.0, 1.0], start=2)
    assert "rare" not in lines()[1]


def test_values_of_the_step_are_taken_from_the_module(lines):
    callback, trainer = MetricsLogger(1), make_trainer(**{"train/old": 9.0})
    module = types.SimpleNamespace(step_metrics={"train/acc": 0.25, "train/vec": torch.zeros(2)})
    callback.on_train_batch_start(trainer, module, None, 0)
    callback.on_train_batch_end(trainer, module, None, None, 0)
    assert "acc=0.25" in lines()[0]
    assert "old" not in lines()[0]
    assert "vec" not in lines()[0]


def test_validation_summary_prints_only_its_own_split(lines):
    callback = MetricsLogger(1)
    trainer = make_trainer(
        **{
            "valid/loss": torch.tensor(0.123456789),
            "valid/acc": 2.0,
            "train/loss": 1.0,
            "epoch": 3,
            "step": 4,
            "lr-SGD": 0.5,
            "valid/vec": torch.zeros(2),
        }
    )
    callback.on_validation_epoch_start(trainer, None)
    callback.on_validation_epoch_end(trainer, None)
    assert re.fullmatch(
        r"epoch_summary:1epoch:valid: valid_time=[\d.e-]+, acc=2, loss=0\.123457", lines()[0]
    )


def test_sanity_check_prints_nothing(lines):
    callback, trainer = MetricsLogger(1), make_trainer(**{"valid/loss": 1.0})
    trainer.sanity_checking = True
    callback.on_validation_epoch_start(trainer, None)
    callback.on_validation_epoch_end(trainer, None)
    assert lines() == []


def test_timers_measure_what_they_say(lines, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    callback, trainer = MetricsLogger(2), make_trainer()

    def batch(index):
        for wait, hook in (
            (1, lambda: callback.on_train_batch_start(trainer, None, None, index)),
            (2, lambda: callback.on_before_backward(trainer, None, None)),
            (4, lambda: callback.on_after_backward(trainer, None)),
            (8, lambda: callback.on_before_optimizer_step(trainer, None, None)),
            (16, lambda: callback.on_train_batch_end(trainer, None, None, None, index)),
        ):
            clock[0] += wait
            hook()

    callback.on_train_epoch_start(trainer, None)
    batch(0)
    callback.on_validation_start(trainer, None)
    clock[0] += 100
    batch(1)
    batch(2)
    callback.on_train_epoch_end(trainer, None)
    first, summary = lines()
    assert "iter_time" not in first
    assert "forward_time=2, backward_time=4, optim_step_time=16, train_time=30" in first
    assert "iter_time=1, forward_time=2" in summary


def test_history_is_rewound_on_resume_and_survives_a_cut_line(tmp_path):
    history = MetricsHistory(tmp_path / "metrics.jsonl")
    for step in (2, 4):
        history.append(epoch=0, step=step, split="train", values={"loss": math.nan})
    with history.path.open("a") as stream:
        stream.write('{"epoch": 1, "st')
    history.rewind(2)
    (line,) = history.path.read_text().splitlines()
    assert json.loads(line) == {"epoch": 0, "step": 2, "split": "train", "values": {"loss": None}}
    history.rewind(0)
    assert history.path.read_text() == ""


def test_means_leave_out_skipped_batches_and_many_batches_do_not_pile_up():
    means = RunningMeans()
    for index in range(2500):
        means.add({"a": torch.tensor(math.nan if index % 2 else 2.0)})
    assert sum(map(len, means._window.values())) < 1000
    assert means.close_window() == {"a": 2.0}
    assert means.close_epoch() == {"a": 2.0}
    assert means.close_epoch() == {}
