from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.metrics.significance import (
    bootstrap_ratio,
    matched_pairs,
    paired_bootstrap,
    percentile_interval,
    sum_by_block,
)

counts = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), min_size=1, max_size=30)


def make_counts(size, seed=0):
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.normal(12, 5, size), 1, 40).astype(int)
    return rng.binomial(lengths, 0.15), lengths


def test_the_standard_error_is_that_of_the_analytic_case():
    # With equal lengths the ratio is a mean: its standard error is known exactly.
    errors = np.repeat([0, 1, 2, 5], [300, 80, 15, 5])
    lengths = np.full(400, 10)
    samples = bootstrap_ratio(errors, lengths, replicates=40_000)
    expected = errors.std() / math.sqrt(400) / 10
    assert samples.std() == pytest.approx(expected, rel=0.02)
    assert samples.mean() == pytest.approx(errors.sum() / lengths.sum(), abs=expected / 40)
    interval = percentile_interval(samples)
    assert interval.level == 0.95
    # The distribution is close to normal.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * expected, rel=0.04)
    assert interval.standard_error == pytest.approx(expected, rel=0.02)


@given(counts=counts)
def test_replicates_lie_between_the_extreme_units(counts):
    errors, lengths = np.array(counts).T
    samples = bootstrap_ratio(errors, lengths, replicates=50)
    ratios = errors / lengths
    assert samples.min() >= ratios.min() - 1e-12
    assert samples.max() <= ratios.max() + 1e-12


def test_the_seed_and_only_the_seed_decides():
    errors, lengths = make_counts(200)
    first = bootstrap_ratio(errors, lengths, replicates=100, seed=3)
    assert np.array_equal(first, bootstrap_ratio(errors, lengths, replicates=100, seed=3))
    assert not np.array_equal(first, bootstrap_ratio(errors, lengths, replicates=100, seed=4))


def test_replicates_without_reference_are_left_out():
    samples = bootstrap_ratio([1, 1], [0, 2], replicates=1000)
    assert set(np.round(samples, 3)) == {0.5, 1.0}
    assert 600 < len(samples) < 900


@pytest.mark.parametrize(("top", "bottom"), [([1], [1, 2]), ([], []), ([1], [0]), ([[1]], [[1]])])
def test_counts_that_give_no_ratio_are_refused(top, bottom):
    with pytest.raises(ValueError, match=r"one count|zero"):
        bootstrap_ratio(top, bottom)


def test_a_clear_improvement_is_significant_and_noise_is_not():
    errors, lengths = make_counts(400)
    better = np.maximum(errors - 1, 0)
    result = paired_bootstrap(better, errors, lengths, replicates=2000)
    assert result.difference == pytest.approx((better.sum() - errors.sum()) / lengths.sum())
    assert result.interval.low < result.difference < result.interval.high < 0
    assert result.probability_of_improvement == 1.0
    assert 0 < result.p_value < 0.002
    same = paired_bootstrap(errors, errors, lengths, replicates=200)
    assert (same.difference, same.probability_of_improvement, same.p_value) == (0.0, 0.0, 1.0)
    shuffled = np.random.default_rng(5).permutation(errors)
    assert paired_bootstrap(shuffled, errors, lengths, replicates=2000).p_value > 0.05


def test_pairing_makes_the_interval_narrow():
    errors, lengths = make_counts(400)
    better = errors.copy()
    better[::40] = 0
    paired = paired_bootstrap(better, errors, lengths).interval
    alone = percentile_interval(bootstrap_ratio(errors, lengths))
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_matched_pairs_agree_with_the_formula():
    differences = [1, 0, -1, 2, 1, 1, 0, 3]
    result = matched_pairs(differences)
    mean = sum(differences) / 8
    variance = sum((d - mean) ** 2 for d in differences) / 7
    z = mean / math.sqrt(variance / 8)
    assert result.segments == 8
    assert result.mean == pytest.approx(mean)
    assert result.z == pytest.approx(z)
    # Two tails of the normal distribution; 1.96 leaves 5 %.
    assert result.p_value == pytest.approx(1 - math.erf(z / math.sqrt(2)))
    flipped = matched_pairs([-d for d in differences])
    assert flipped.z == pytest.approx(-z)
    assert flipped.p_value == pytest.approx(result.p_value)


def test_matched_pairs_hold_their_level_when_nothing_differs():
    rng = np.random.default_rng(0)
    rejected = [matched_pairs(rng.integers(-1, 2, 80)).p_value < 0.05 for _ in range(600)]
    assert 0.02 < np.mean(rejected) < 0.09


@pytest.mark.parametrize(
    ("differences", "z", "p_value"),
    [([], None, None), ([1], None, None), ([0, 0], None, 1.0), ([2, 2, 2], None, 0.0)],
)
def test_degenerate_matched_pairs(differences, z, p_value):
    result = matched_pairs(differences)
    assert (result.z, result.p_value) == (z, p_value)


def test_blocks_are_added_up_and_widen_the_interval():
    speakers = np.repeat(["a", "b", "c", "d"], 100)
    errors = np.repeat([0, 1, 2, 5], 100)
    lengths = np.full(400, 10)
    totals = sum_by_block(speakers, errors, lengths)
    assert [t.tolist() for t in totals] == [[0, 100, 200, 500], [1000] * 4]
    by_speaker = percentile_interval(bootstrap_ratio(*totals))
    by_utterance = percentile_interval(bootstrap_ratio(errors, lengths))
    assert by_speaker.high - by_speaker.low > 5 * (by_utterance.high - by_utterance.low)
