"""B8, bootstrap: CPU-seconds for the confidence interval of an error rate.

Ten thousand replicates over ten thousand utterances, compared with one draw of numpy per
replicate. All of it runs in one thread, so CPU-seconds are what an idle machine would take at most.
Words have few different counts per utterance, characters have many.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import timing

timing.pin_threads()

import numpy as np  # noqa: E402

from espnet3.components.metrics.significance import (  # noqa: E402
    bootstrap_ratio,
    paired_bootstrap,
)

NUM_UTTERANCES = 10_000
REPLICATES = 10_000
NUM_SLOW = 500
"""Replicates of the slow baseline, scaled up."""
REPEATS = 5
TARGET = 0.3


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return how much of a processor one call takes."""
    started = time.process_time()
    run()
    return time.process_time() - started


def make_counts(mean_length: int, error_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw errors and reference tokens of each utterance."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.normal(mean_length, mean_length / 2.2, NUM_UTTERANCES), 1, None)
    lengths = lengths.astype(int)
    return rng.binomial(lengths, error_rate), lengths


def draw_each(errors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Resample with one call per replicate."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(NUM_SLOW):
        drawn = rng.integers(0, len(errors), len(errors))
        ratios.append(errors[drawn].sum() / lengths[drawn].sum())
    return np.array(ratios)


def main() -> None:
    """Print one row per way."""
    words, characters = make_counts(18, 0.1), make_counts(100, 0.05)
    fast, slow = (run(*words).std() for run in (bootstrap_ratio, draw_each))
    if not 0.85 < fast / slow < 1.15:
        raise SystemExit(f"the ways disagree: {fast} and {slow}")
    other = np.random.default_rng(1).permutation(words[0])
    scale = REPLICATES / NUM_SLOW
    runs = {
        "loop over replicates": lambda: scale * cpu_seconds(lambda: draw_each(*words)),
        "bootstrap_ratio, words": lambda: cpu_seconds(lambda: bootstrap_ratio(*words)),
        "paired_bootstrap, words": lambda: cpu_seconds(
            lambda: paired_bootstrap(words[0], other, words[1])
        ),
        "bootstrap_ratio, chars": lambda: cpu_seconds(lambda: bootstrap_ratio(*characters)),
    }
    results = timing.interleave(runs, REPEATS)
    print(f"{REPLICATES} replicates, {NUM_UTTERANCES} utterances, {timing.machine_load()}")
    print(f"{'way':<24} {'CPU-s':>10} {'best':>8} {'speed-up':>9}  target")
    for name, values in results.items():
        gain = timing.median_ratio(results, "loop over replicates", name)
        note = f"<= {TARGET} s" if name == "bootstrap_ratio, words" else ""
        best = min(values)
        print(f"{name:<24} {statistics.median(values):>10.3f} {best:>8.3f} {gain:>9.1f}  {note}")


if __name__ == "__main__":
    main()
