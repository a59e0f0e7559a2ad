from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.errors import ConfigError
from espnet3.systems.asr.decoding import ctc_greedy, ctc_prefix_beam


def collapse(path):
    return tuple(s for s, _ in itertools.groupby(path) if s)


def enumerate_labels(log_probs):
    """Sum the probability of every alignment of every label."""
    frames, vocabulary = log_probs.shape
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(vocabulary), repeat=frames):
        score = sum(float(log_probs[t, s]) for t, s in enumerate(path))
        label = collapse(path)
        old = totals.get(label, -math.inf)
        high = max(old, score)
        totals[label] = high + math.log(math.exp(old - high) + math.exp(score - high))
    return sorted(totals.items(), key=lambda item: -item[1])


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 3), st.integers(1, 5))
def test_a_wide_beam_finds_exactly_what_enumeration_finds(seed, vocabulary, frames):
    torch.manual_seed(seed)
    log_probs = (3 * torch.randn(frames, vocabulary)).log_softmax(1)
    expected = enumerate_labels(log_probs)
    width = len(expected) + 3
    hypotheses = ctc_prefix_beam(
        log_probs.unsqueeze(0), torch.tensor([frames]), beam_size=width, nbest=width
    )[0]
    assert len(hypotheses) == len(expected)
    found = {h.token_ids: h.score for h in hypotheses}
    for label, score in expected:
        assert found[label] == pytest.approx(score, abs=1e-4)
    scores = [h.score for h in hypotheses]
    assert scores == sorted(scores, reverse=True)


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_width_one_equals_greedy_on_peaky_distributions(seed, path):
    torch.manual_seed(seed)
    logits = torch.randn(1, len(path), 6)
    logits[0, range(len(path)), path] += 30
    log_probs, lengths = logits.log_softmax(2), torch.tensor([len(path)])
    greedy = ctc_greedy(log_probs, lengths)[0]
    beam = ctc_prefix_beam(log_probs, lengths, beam_size=1)[0][0]
    assert greedy.token_ids == beam.token_ids == collapse(path)
    assert greedy.score == pytest.approx(beam.score, abs=1e-3)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_a_batch_gives_what_single_utterances_give(seed, lengths):
    torch.manual_seed(seed)
    log_probs = (3 * torch.randn(len(lengths), max(lengths), 4)).log_softmax(2)
    rows = torch.tensor(lengths)
    greedy = ctc_greedy(log_probs, rows)
    beams = ctc_prefix_beam(log_probs, rows, beam_size=4, nbest=2)
    for i, length in enumerate(lengths):
        single, one = log_probs[i : i + 1, :length], torch.tensor([length])
        alone = ctc_greedy(single, one)[0]
        assert greedy[i].token_ids == alone.token_ids
        assert greedy[i].score == pytest.approx(alone.score, abs=1e-4)
        for batched, expected in zip(
            beams[i], ctc_prefix_beam(single, one, beam_size=4, nbest=2)[0], strict=True
        ):
            assert batched.token_ids == expected.token_ids
            assert batched.score == pytest.approx(expected.score, abs=1e-4)


def test_the_beam_prefers_a_label_whose_alignments_add_up():
    """Best path: blank blank (0.36). Best label: (1,) with 0.16 + 2 * 0.24."""
    log_probs = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    lengths = torch.tensor([2])
    assert ctc_greedy(log_probs, lengths)[0].token_ids == ()
    best = ctc_prefix_beam(log_probs, lengths, beam_size=2)[0][0]
    assert best.token_ids == (1,)
    assert math.exp(best.score) == pytest.approx(0.64, abs=1e-5)


def test_repeats_need_a_blank_between():
    logits = torch.full((1, 5, 3), -20.0)
    for frame, symbol in enumerate([1, 1, 0, 1, 2]):
        logits[0, frame, symbol] = 0
    lengths = torch.tensor([5])
    assert ctc_greedy(logits.log_softmax(2), lengths)[0].token_ids == (1, 1, 2)
    assert ctc_prefix_beam(logits.log_softmax(2), lengths)[0][0].token_ids == (1, 1, 2)


def test_the_blank_may_be_any_id():
    log_probs = torch.tensor([[[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]]).log()
    lengths = torch.tensor([2])
    assert ctc_greedy(log_probs, lengths, blank_id=1)[0].token_ids == (0,)
    assert ctc_prefix_beam(log_probs, lengths, blank_id=1)[0][0].token_ids == (0,)


def test_fewer_hypotheses_than_asked_for_when_there_are_no_more():
    hypotheses = ctc_prefix_beam(
        torch.zeros(1, 1, 2).log_softmax(2), torch.tensor([1]), beam_size=8, nbest=8
    )[0]
    assert sorted(h.token_ids for h in hypotheses) == [(), (1,)]


@pytest.mark.parametrize("options", [{"beam_size": 0}, {"beam_size": 2, "nbest": 3}, {"nbest": 0}])
def test_impossible_widths_are_refused(options):
    with pytest.raises(ConfigError, match="beam_size|nbest"):
        ctc_prefix_beam(torch.zeros(1, 1, 2), torch.tensor([1]), **options)
