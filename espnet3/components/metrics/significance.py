"""Error bars and tests for ratios of counts, such as errors per reference token.

Units (utterances, or all utterances of a speaker) are what is drawn; only their counts matter.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espnet3.components.metrics.resampling import Counts, resample_sums


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A percentile interval of a resampled ratio."""

    level: float
    """Probability that it covers, for example 0.95."""
    low: float
    high: float
    standard_error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedBootstrap:
    """How a ratio differs from that of a baseline on the same units."""

    difference: float
    """Ratio minus the baseline's; negative means fewer errors."""
    interval: Interval
    """Of the difference."""
    probability_of_improvement: float
    """Share of the replicates in which the ratio is below the baseline's."""
    p_value: float
    """Two-sided; the hypothesis is that the ratios are equal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchedPairs:
    """Whether the mean difference of errors per segment is zero."""

    segments: int
    mean: float
    """Errors minus the baseline's errors, per segment."""
    z: float | None
    """Null where the differences do not vary."""
    p_value: float | None
    """Two-sided; null with fewer than two segments."""


def bootstrap_ratio(
    numerators: ArrayLike, denominators: ArrayLike, *, replicates: int = 10_000, seed: int = 0
) -> NDArray[np.float64]:
    """Resample units with replacement and return the ratio of the sums of each replicate.

    The bootstrap of error rates of Bisani and Ney, "Bootstrap estimates for confidence intervals in
    ASR performance evaluation", ICASSP 2004. Units with the same counts are drawn together, so the
    cost grows with the number of different counts.

    Args:
        numerators: Whole numbers, one per unit, shape (N,); may be negative.
        denominators: Whole numbers from 0, shape (N,).
        replicates: How often the set is drawn.
        seed: Seed of the random numbers.

    Returns:
        Shape (replicates,); less the replicates whose denominators are all zero.

    Raises:
        ValueError: If the shapes differ or no denominator is positive.
    """
    top, bottom = (np.asarray(values, dtype=np.int64) for values in (numerators, denominators))
    if top.ndim != 1 or top.shape != bottom.shape:
        raise ValueError(f"need one count of each kind per unit: {top.shape} and {bottom.shape}")
    if not bottom.any():
        raise ValueError("the denominators add up to zero")
    # One complex number carries both counts through sorting, drawing and adding, exactly.
    sums = resample_sums(top + 1j * bottom, replicates, np.random.default_rng(seed))
    kept = sums[sums.imag > 0]
    ratios: NDArray[np.float64] = kept.real / kept.imag
    return ratios


def percentile_interval(samples: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Return the interval that leaves out the same share of samples on either side.

    Args:
        samples: Resampled values, shape (replicates,).
        level: Share of the samples inside, between 0 and 1.
    """
    tail = (1.0 - level) / 2
    low, high = np.quantile(samples, [tail, 1.0 - tail])
    return Interval(
        level=level, low=float(low), high=float(high), standard_error=float(samples.std())
    )


def paired_bootstrap(
    errors: ArrayLike,
    baseline_errors: ArrayLike,
    lengths: ArrayLike,
    *,
    level: float = 0.95,
    replicates: int = 10_000,
    seed: int = 0,
) -> PairedBootstrap:
    """Compare two systems on the same units; each replicate draws the same units for both.

    Method of Bisani and Ney (2004), section 4. The two-sided p-value counts the observed data as
    one more replicate, so it is never zero.

    Args:
        errors: Errors per unit, shape (N,).
        baseline_errors: Errors of the baseline on the same units, shape (N,).
        lengths: Reference tokens per unit, shape (N,).
        level: Share of the replicates inside the interval.
        replicates: How often the set is drawn.
        seed: Seed of the random numbers.

    Raises:
        ValueError: If the shapes differ or there are no reference tokens.
    """
    gains = np.asarray(errors, dtype=np.int64) - np.asarray(baseline_errors, dtype=np.int64)
    samples = bootstrap_ratio(gains, lengths, replicates=replicates, seed=seed)
    tail = min(np.count_nonzero(samples <= 0), np.count_nonzero(samples >= 0))
    return PairedBootstrap(
        difference=float(gains.sum() / np.asarray(lengths).sum()),
        interval=percentile_interval(samples, level),
        probability_of_improvement=float(np.mean(samples < 0)),
        p_value=min(1.0, 2 * (tail + 1) / (len(samples) + 1)),
    )


def matched_pairs(differences: ArrayLike) -> MatchedPairs:
    """Test whether the errors of two systems differ, segment by segment.

    The matched-pairs test of Gillick and Cox, "Some statistical issues in the comparison of speech
    recognition algorithms", ICASSP 1989: the mean over independent segments, divided by its
    standard error, is taken as a standard normal number. It wants some fifty segments.

    Args:
        differences: Errors minus the baseline's errors of each segment, shape (segments,).
    """
    values = np.asarray(differences, dtype=np.float64)
    count = len(values)
    mean = float(values.mean()) if count else 0.0
    if count < 2:
        return MatchedPairs(segments=count, mean=mean, z=None, p_value=None)
    deviation = float(values.std(ddof=1))
    if deviation == 0.0:
        return MatchedPairs(segments=count, mean=mean, z=None, p_value=1.0 if mean == 0 else 0.0)
    z = mean * math.sqrt(count) / deviation
    return MatchedPairs(segments=count, mean=mean, z=z, p_value=math.erfc(abs(z) / math.sqrt(2.0)))


def sum_by_block(blocks: ArrayLike, *columns: ArrayLike) -> list[Counts]:
    """Add up counts of units that belong together, for example of one speaker.

    Args:
        blocks: Name of the block of each unit, shape (N,).
        *columns: Counts per unit, shape (N,) each.

    Returns:
        Counts per block, shape (blocks,) each, ordered by the names of the blocks.

    Example:
        >>> sum_by_block(["ann", "bob", "ann"], [1, 0, 2])[0].tolist()
        [3, 0]
    """
    names, places = np.unique(np.asarray(blocks), return_inverse=True)
    totals = [np.zeros(len(names), dtype=np.int64) for _ in columns]
    for total, column in zip(totals, columns, strict=True):
        np.add.at(total, places, np.asarray(column, dtype=np.int64))
    return totals
