"""Compare ways of doing the same thing: interleaved runs, medians of ratios."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

Measured = TypeVar("Measured")


class Cost(NamedTuple):
    """Seconds that something took."""

    cpu: float
    wall: float


def pin_threads() -> None:
    """Let every numeric library use one thread; call before importing any of them."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def cost(run: Callable[[], object]) -> Cost:
    """Return the time of one call, of all threads of this process and by the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def interleave(
    runs: Mapping[str, Callable[[], Measured]], repeats: int
) -> dict[str, list[Measured]]:
    """Call each measurement in turn, several times; a busy machine slows all of them alike.

    Args:
        runs: Functions that return what they measured, by name.
        repeats: Rounds; one more is made first and thrown away.
    """
    results: dict[str, list[Measured]] = {name: [] for name in runs}
    for round_number in range(repeats + 1):
        for name, run in runs.items():
            value = run()
            if round_number:
                results[name].append(value)
    return results


def median_ratio(results: Mapping[str, list[float]], of: str, to: str) -> float:
    """Return the median over rounds of one measurement divided by another."""
    pairs = zip(results[of], results[to], strict=True)
    return statistics.median(a / b for a, b in pairs)


def machine_load() -> str:
    """Describe how busy the machine is."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"load {load:.1f} on {os.cpu_count()} CPUs"
