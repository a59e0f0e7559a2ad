"""B7, word error rate: words per second with counts and alignment.

Compares `align` + `count_edits` with rapidfuzz called directly, with jiwer called once per
utterance, and with a plain dynamic program in Python. The last rows score files with the metric
`WER` as `measure` does: ids checked, alignment and records written.
"""

from __future__ import annotations

import functools
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import timing

timing.pin_threads()

from rapidfuzz.distance import Levenshtein  # noqa: E402

from espnet3.systems.asr.metrics.edit_distance import align, count_edits  # noqa: E402
from espnet3.systems.asr.metrics.wer import WER  # noqa: E402

NUM_UTTERANCES = 20_000
NUM_SLOW = 300
"""Utterances for the slow baselines."""
ERROR_RATE = 0.1
REPEATS = 7
TARGET = 0.67

Pairs = list[tuple[str, str]]


def make_pairs() -> Pairs:
    """Draw references of some 20 words and hypotheses with one word in ten wrong."""
    rng = random.Random(0)
    vocabulary = [f"word{number}" for number in range(5000)]
    pairs = []
    for _ in range(NUM_UTTERANCES):
        ref = rng.choices(vocabulary, k=max(1, round(rng.gauss(20, 8))))
        hyp: list[str] = []
        for word in ref:
            edit = rng.random() / ERROR_RATE
            if edit < 0.6:
                hyp.append(rng.choice(vocabulary))
            elif edit < 0.8:
                hyp += [word, rng.choice(vocabulary)]
            elif edit >= 1.0:
                hyp.append(word)
        pairs.append((" ".join(ref), " ".join(hyp)))
    return pairs


def run_ours(pairs: Pairs) -> int:
    return sum(count_edits(align(ref.split(), hyp.split())).errors for ref, hyp in pairs)


def run_rapidfuzz(pairs: Pairs) -> int:
    total = 0
    for ref, hyp in pairs:
        counts = {"equal": 0, "replace": 0, "delete": 0, "insert": 0}
        for tag, start, end, hyp_start, hyp_end in Levenshtein.opcodes(
            ref.split(), hyp.split()
        ).as_list():
            counts[tag] += max(end - start, hyp_end - hyp_start)
        total += counts["replace"] + counts["delete"] + counts["insert"]
    return total


def run_jiwer(pairs: Pairs) -> int:
    import jiwer

    total = 0
    for ref, hyp in pairs:
        found = jiwer.process_words(ref, hyp)
        total += found.substitutions + found.deletions + found.insertions
    return total


def run_python(pairs: Pairs) -> int:
    """Fill the table of the textbook and walk back, to know the kinds of edits."""
    return sum(_count_slowly(ref.split(), hyp.split()) for ref, hyp in pairs)


def _count_slowly(ref: list[str], hyp: list[str]) -> int:
    table = [list(range(len(hyp) + 1))]
    for i, left in enumerate(ref, start=1):
        above, row = table[-1], [i]
        for j, right in enumerate(hyp, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right)))
        table.append(row)
    i, j, errors = len(ref), len(hyp), 0
    while i or j:
        is_pair = i and j and table[i][j] == table[i - 1][j - 1] + (ref[i - 1] != hyp[j - 1])
        if is_pair:
            errors += ref[i - 1] != hyp[j - 1]
            i, j = i - 1, j - 1
        else:
            errors += 1
            i, j = (i - 1, j) if i and table[i][j] == table[i - 1][j] + 1 else (i, j - 1)
    return errors


def run_metric(folder: Path) -> None:
    WER()({name: folder / f"{name}.scp" for name in ("ref", "hyp")}, "test", folder)


def main() -> None:
    """Print one row per way."""
    pairs = make_pairs()
    few = pairs[:NUM_SLOW]
    errors = run_ours(few)
    if not errors == run_rapidfuzz(few) == run_jiwer(few) == run_python(few):
        raise SystemExit("the ways disagree")
    num_words = {len(p): sum(len(ref.split()) for ref, _ in p) for p in (pairs, few)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for field, place in (("ref", 0), ("hyp", 1)):
            lines = [f"utt{i:06} {pair[place]}\n" for i, pair in enumerate(pairs)]
            (folder / f"{field}.scp").write_text("".join(lines))
        ways: dict[str, tuple[Callable[[], object], int]] = {
            "rapidfuzz directly": (lambda: run_rapidfuzz(pairs), num_words[len(pairs)]),
            "align + count_edits": (lambda: run_ours(pairs), num_words[len(pairs)]),
            "jiwer per utterance": (lambda: run_jiwer(few), num_words[len(few)]),
            "plain Python": (lambda: run_python(few), num_words[len(few)]),
            "metric WER, files": (lambda: run_metric(folder), num_words[len(pairs)]),
        }
        speeds = timing.interleave(
            {
                name: functools.partial(lambda run, words: words / timing.seconds(run), *way)
                for name, way in ways.items()
            },
            REPEATS,
        )
    print(f"{len(pairs)} utterances, {num_words[len(pairs)]} words, {timing.machine_load()}")
    print(f"{'way':<22} {'M words/s':>10} {'ratio':>7}  target")
    for name in ways:
        ratio = timing.median_ratio(speeds, name, "rapidfuzz directly")
        note = f">= {TARGET}" if name == "align + count_edits" else ""
        print(f"{name:<22} {statistics.median(speeds[name]) / 1e6:>10.3f} {ratio:>7.2f}  {note}")
    gain = timing.median_ratio(speeds, "align + count_edits", "plain Python")
    print(f"align + count_edits is {gain:.0f}x plain Python")


if __name__ == "__main__":
    main()
