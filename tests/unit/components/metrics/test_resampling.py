"""Units are drawn as often as chance would have it, whichever way is taken."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from espnet3.components.metrics import resampling
from espnet3.components.metrics.significance import bootstrap_ratio
from tests.unit.components.metrics.test_significance import make_counts


def slow_bootstrap(errors, lengths, replicates, seed):
    rng = random.Random(seed)
    units = list(zip(errors.tolist(), lengths.tolist(), strict=True))
    ratios = []
    for _ in range(replicates):
        drawn = rng.choices(units, k=len(units))
        ratios.append(sum(e for e, _ in drawn) / sum(n for _, n in drawn))
    return np.array(ratios)


@pytest.mark.parametrize("size", [20, 800])
@pytest.mark.parametrize("drawn", ["by kind", "singly"])
def test_replicates_agree_with_a_slow_loop(size, drawn, monkeypatch):
    monkeypatch.setattr(resampling, "_COMMON", 1 if drawn == "by kind" else 10_000)
    errors, lengths = make_counts(size)
    fast = bootstrap_ratio(errors, lengths, replicates=4000)
    slow = slow_bootstrap(errors, lengths, 500, seed=1)
    assert fast.shape == (4000,)
    spread = slow.std()
    assert fast.mean() == pytest.approx(slow.mean(), abs=4 * spread / math.sqrt(500))
    assert fast.std() == pytest.approx(spread, rel=0.14)
    for share in (0.1, 0.5, 0.9):
        quantile = np.quantile(slow, share)
        assert np.mean(fast <= quantile) == pytest.approx(share, abs=0.08)


def test_the_number_of_wrong_units_has_the_binomial_distribution():
    errors = np.array([1] * 3 + [0] * 7)
    samples = bootstrap_ratio(errors, np.ones(10, int), replicates=50_000)
    found = np.bincount(np.rint(samples * 10).astype(int), minlength=11) / 50_000
    exact = [math.comb(10, k) * 0.3**k * 0.7 ** (10 - k) for k in range(11)]
    assert np.allclose(found, exact, atol=0.01)


@pytest.mark.parametrize("common", [1, 30, 101, 1000], ids=["all", "three", "one", "none"])
def test_numbers_of_kinds_have_the_multinomial_distribution(common, monkeypatch):
    # Lengths are powers of 1000, so each sum tells how often each kind was drawn.
    monkeypatch.setattr(resampling, "_COMMON", common)
    sizes = np.array([280, 100, 20, 3])
    units = np.repeat([1, 1000, 1000**2, 1000**3], sizes)
    samples = bootstrap_ratio(units, np.ones(403, int), replicates=20_000, seed=2)
    sums = np.rint(samples * 403).astype(np.int64)
    times = np.stack([sums // 1000**power % 1000 for power in range(4)], axis=1)
    assert np.array_equal(times.sum(axis=1), np.full(20_000, 403))
    shares = sizes / 403
    expected = 403 * (np.diag(shares) - np.outer(shares, shares))
    assert times.mean(axis=0) == pytest.approx(sizes, abs=0.25)
    spread = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / 20_000)
    assert np.all(np.abs(np.cov(times.T) - expected) < 4 * spread)
    exact = [math.comb(403, k) * shares[3] ** k * (1 - shares[3]) ** (403 - k) for k in range(12)]
    assert np.bincount(times[:, 3], minlength=12)[:12] / 20_000 == pytest.approx(exact, abs=0.012)


@pytest.mark.parametrize("rate", [0.02, 0.7, 4.0, 300.0])
def test_poisson_numbers_have_their_distribution(rate):
    numbers = resampling._draw_poisson(rate, 40_000, np.random.default_rng(1))
    exact = [math.exp(k * math.log(rate) - rate - math.lgamma(k + 1)) for k in range(400)]
    found = np.bincount(numbers, minlength=400)[:400] / 40_000
    assert np.allclose(np.cumsum(found), np.cumsum(exact), atol=0.01)
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03


def test_every_replicate_draws_as_many_units_as_there_are(monkeypatch):
    # With ones as lengths, the sum of lengths is the number of drawn units.
    errors = np.arange(300) % 3
    monkeypatch.setattr(resampling, "_SLACK", 0.0)  # so that too many are often drawn first
    samples = bootstrap_ratio(errors, np.ones(300, int), replicates=2000)
    assert np.allclose(samples * 300, np.rint(samples * 300))
    assert samples.std() == pytest.approx(errors.std() / 300**0.5, rel=0.1)


def test_many_draws_come_in_parts(monkeypatch):
    errors, lengths = make_counts(200)
    monkeypatch.setattr(resampling, "_MAX_NUMBERS", 1000)
    samples = bootstrap_ratio(errors, lengths, replicates=5000)
    assert samples.shape == (5000,)
    assert samples.std() == pytest.approx(
        bootstrap_ratio(errors, lengths, replicates=5000, seed=9).std(), rel=0.1
    )
