from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.components.layers import CTCHead
from espnet3.components.layers.ctc import count_infeasible


def collapse(path):
    return tuple(s for s, _ in itertools.groupby(path) if s)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 2), min_size=1, max_size=3))
def test_the_loss_is_the_sum_over_all_alignments(seed, label):
    torch.manual_seed(seed)
    head = CTCHead(vocab_size=3, hidden=4, zero_infinity=False)
    hidden = torch.randn(1, 4, 4)
    log_probs = head.log_probs(hidden)[0]
    total = -torch.inf * torch.ones(())
    for path in itertools.product(range(3), repeat=4):
        if collapse(path) == tuple(label):
            score = sum(log_probs[t, s] for t, s in enumerate(path))
            total = torch.logaddexp(total, score)
    loss, _ = head(hidden, torch.tensor([4]), torch.tensor([label]), torch.tensor([len(label)]))
    torch.testing.assert_close(loss, -total, atol=1e-4, rtol=1e-4)


def test_the_loss_is_a_sum_over_utterances_divided_by_the_batch_size():
    torch.manual_seed(0)
    head = CTCHead(5, 4)
    hidden = torch.randn(2, 6, 4)
    lengths, text = torch.tensor([6, 4]), torch.tensor([[1, 2], [3, -1]])
    both, _ = head(hidden, lengths, text, torch.tensor([2, 1]))
    first, _ = head(hidden[:1], lengths[:1], text[:1], torch.tensor([2]))
    second, _ = head(hidden[1:, :4], lengths[1:], text[1:, :1], torch.tensor([1]))
    torch.testing.assert_close(both, (first + second) / 2)


def test_an_impossible_label_costs_nothing_and_is_counted():
    head = CTCHead(5, 4)
    text, text_lengths = torch.tensor([[1, 1, 2]]), torch.tensor([3])
    loss, _ = head(torch.randn(1, 3, 4), torch.tensor([3]), text, text_lengths)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(head.projection.weight.grad).all()
    assert count_infeasible(torch.tensor([3]), text, text_lengths) == 1
    assert count_infeasible(torch.tensor([4]), text, text_lengths) == 0


def test_padding_of_labels_is_never_a_repeat():
    text = torch.tensor([[1, 2, -1, -1], [3, 3, 3, 3]])
    assert count_infeasible(torch.tensor([2, 7]), text, torch.tensor([2, 4])) == 0
    assert count_infeasible(torch.tensor([2, 6]), text, torch.tensor([2, 4])) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_loss_and_log_probabilities_in_float32(dtype):
    torch.manual_seed(0)
    head = CTCHead(5, 4)
    with torch.autocast("cpu", dtype):
        loss, log_probs = head(
            torch.randn(1, 6, 4), torch.tensor([6]), torch.tensor([[1, 2]]), torch.tensor([2])
        )
    assert loss.dtype == log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(2), torch.ones(1, 6))


def test_dropout_is_active_in_training_only():
    head = CTCHead(5, 64, dropout_rate=0.5)
    hidden = torch.randn(1, 3, 64)
    assert not torch.equal(head.log_probs(hidden), head.log_probs(hidden))
    head.eval()
    assert torch.equal(head.log_probs(hidden), head.log_probs(hidden))
