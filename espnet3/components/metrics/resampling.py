"""Draw units with replacement, many times over.

Only the counts of units matter, so those with equal counts are drawn together.
"""

from __future__ import annotations

import functools
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.int64]

_SLACK = 3.0
"""Standard deviations by which Poisson numbers are kept below the number of units."""
_COMMON = 4
"""Units of a kind of which there are fewer are drawn one by one: that is as fast."""
_MAX_NUMBERS = 2**20
"""Numbers drawn at once; bounds the memory."""


def resample_sums(
    counts: NDArray[np.complex128], replicates: int, rng: np.random.Generator
) -> NDArray[np.complex128]:
    """Draw as many units as there are, with replacement, and return their sums.

    Poisson numbers with a given sum are multinomial, so whatever the sum is, single draws of the
    units that are missing make the numbers multinomial with the sum ``len(counts)``.

    Args:
        counts: Two whole numbers per unit, as real and imaginary part, shape (N,).
        replicates: How often the set is drawn.
        rng: Source of random numbers.

    Returns:
        Shape (replicates,).
    """
    kinds, places, sizes = np.unique(counts, return_inverse=True, return_counts=True)
    total = len(counts)
    # Mostly a little less than `total`, so that only a few units remain to be drawn singly.
    rates = sizes / total * max(0.0, total - _SLACK * math.sqrt(total))
    is_common = (sizes >= _COMMON) & (rates > 0.0)
    rare_rate = float(rates[~is_common].sum())
    rare = counts[~is_common[places]]

    def draw(size: int) -> tuple[NDArray[np.complex128], Counts, Counts]:
        return _draw_kinds(kinds[is_common], rates[is_common], rare_rate, size, rng)

    sums, drawn, num_rare = draw(replicates)
    while (over := np.flatnonzero(drawn > total)).size:
        sums[over], drawn[over], num_rare[over] = draw(len(over))
    return sums + _draw_singly(rare, num_rare, rng) + _draw_singly(counts, total - drawn, rng)


def _draw_kinds(
    kinds: NDArray[np.complex128],
    rates: NDArray[np.float64],
    rare_rate: float,
    replicates: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.complex128], Counts, Counts]:
    """Draw a Poisson number of units of each kind, and of all rare kinds together.

    Returns:
        Sums over the units without the rare ones, the number of units, and that of rare ones, all
        of shape (replicates,).
    """
    num_rare = rng.poisson(rare_rate, replicates)
    totals = np.zeros((3, replicates))
    factors = np.stack([kinds.real, kinds.imag, np.ones(len(kinds))])
    step = max(1, _MAX_NUMBERS // max(1, replicates))
    for start in range(0, len(kinds), step):
        part = slice(start, start + step)
        # As floating-point numbers, because these products are fast; all are whole and exact.
        times = np.stack([_draw_poisson(rate, replicates, rng) for rate in rates[part].tolist()])
        totals += factors[:, part] @ times.astype(np.float64)
    return totals[0] + 1j * totals[1], totals[2].astype(np.int64) + num_rare, num_rare


def _draw_poisson(rate: float, size: int, rng: np.random.Generator) -> Counts:
    """Draw independent Poisson numbers, shape (size,), four times as fast as one by one.

    How often each value occurs among them is multinomial, and their order is random.
    """
    values, probabilities = _poisson_law(rate)
    numbers = values.repeat(rng.multinomial(size, probabilities))
    rng.shuffle(numbers)
    return numbers


@functools.lru_cache(maxsize=64)
def _poisson_law(rate: float) -> tuple[Counts, NDArray[np.float64]]:
    """Return the values of a Poisson number and their probabilities; many kinds share a rate."""
    reach = 10 * math.sqrt(rate) + 10  # what lies beyond has a probability below 1e-18
    values = np.arange(max(0, int(rate - reach)), int(rate + reach) + 2)
    logs = np.cumsum(np.log(rate / np.maximum(values, 1)))  # but for a constant
    weights = np.exp(logs - logs.max())
    return values, weights / weights.sum()


def _draw_singly(
    counts: NDArray[np.complex128], times: Counts, rng: np.random.Generator
) -> NDArray[np.complex128]:
    """Draw ``times[i]`` units for replicate ``i``; return their sums."""
    step = max(1, _MAX_NUMBERS // max(1, int(times.max(initial=0))))
    sums = np.zeros(len(times), np.complex128)
    for start in range(0, len(times) if len(counts) else 0, step):
        part = times[start : start + step]
        # The last replicates may draw nothing, and then begin behind the last pick: there is one
        # more.
        drawn = counts.take(rng.integers(0, len(counts), size=part.sum() + 1), mode="clip")
        drawn[-1] = 0.0
        added = np.add.reduceat(drawn, np.cumsum(part) - part)
        sums[start : start + step] = np.where(part > 0, added, 0.0)
    return sums
