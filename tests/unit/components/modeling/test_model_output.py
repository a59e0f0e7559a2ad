from __future__ import annotations

import collections
import types

import pytest
import torch

from espnet3.components.modeling.batch import read_batch
from espnet3.components.modeling.model_output import read_output
from espnet3.errors import ModelOutputError

LOSS = torch.tensor(2.0)
Named = collections.namedtuple("Named", ["loss", "logits", "accuracy"])


@pytest.mark.parametrize(
    ("output", "stats", "weight"),
    [
        ((LOSS, {"acc": 1.0}, 3), {"acc"}, 3),
        ((LOSS, {}, None), set(), None),
        ({"loss": LOSS, "logits": torch.zeros(2, 2), "acc": 0.5, "weight": 7}, {"loss", "acc"}, 7),
        ({"loss": LOSS, "stats": {"a": 1}}, {"a"}, None),
        (types.SimpleNamespace(loss=LOSS, logits=torch.zeros(2)), {"loss"}, None),
        (Named(LOSS, torch.zeros(2), 0.5), {"loss", "accuracy"}, None),
        (LOSS, {"loss"}, None),
        ((LOSS.reshape(1), {}, None), set(), None),
    ],
)
def test_accepted_shapes(output, stats, weight):
    read = read_output(output, {})
    assert read.loss.shape == ()
    assert read.loss == 2.0
    assert set(read.stats) == stats
    assert read.weight == weight


def test_criterion_turns_raw_output_into_a_loss():
    read = read_output(torch.ones(3), {"y": 2.0}, lambda out, batch: (out * batch["y"]).sum())
    assert read.loss == 6.0


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 3), r"shape \(2, 3\)(.|\n)*criterion"),
        (None, "NoneType"),
        ((LOSS, {}), "tuple of 2 items"),
        ({"logits": LOSS}, "has no loss"),
        ((None, {}, None), "loss, stats, weight"),
    ],
)
def test_unreadable_output_points_to_the_ways_out(output, message):
    with pytest.raises(ModelOutputError, match=message):
        read_output(output, {})


def test_stats_must_be_a_dict():
    with pytest.raises(AssertionError, match="Model output `stats` must be a dict"):
        read_output((LOSS, [1.0], None), {})


def test_batches():
    assert read_batch((["a", "b"], {"x": 1})) == (("a", "b"), {"x": 1})
    assert read_batch({"x": 1}) == ((), {"x": 1})
    with pytest.raises(TypeError, match="Tensor"):
        read_batch(torch.zeros(2))
    with pytest.raises(TypeError, match="list of 3 items"):
        read_batch([1, 2, 3])
