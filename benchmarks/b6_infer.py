"""B6: what the ``infer`` stage costs beyond the model.

Four parts. A small torch model one sample at a time and in batches, against a bare loop that
builds the same model and goes over the same samples in the same batches: speed of the stage divided
by that of the loop, by the clock, in processor time, and without what the stage takes for a test
set of one sample. That is pure overhead, for all samples have the same length. A small Conformer on
utterances of 1 to 15 s, against a bare loop over batches of 16 in the order of the data set, which
pads a lot: the same ratio for the stage with the same batches, and for `dynamic` ones within a cost
budget; the texts must be the same. A trivial model over many samples: microseconds per sample, from
the data set to the SCP file. The same single-threaded model in this process and on two workers that
decode their second test set, so that their start does not count; and bare loops, one and then two
processes of them at once. What the two loops gain is what the machine has to give: cores share
memory and caches.

Processor times hold on a busy machine. The last part needs idle cores, one per worker: run it with
``--only workers`` and nothing else on the machine.

    python benchmarks/b6_infer.py [--items 200000] [--samples 2000] [--repeats 5] [--only lengths]
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import Cost, cost, interleave, machine_load, median_ratio, pin_threads

pin_threads()

import torch  # noqa: E402

from benchmarks.inference_cases import Recognizer, Speech, bare_loop, run_stage  # noqa: E402


def stage_cost(folder: str, count: int, batch_size: int | None) -> Cost:
    return cost(lambda: run_stage(folder, "Network", count, batch_size=batch_size))


def loop_cost(folder: str, count: int, batch_size: int | None) -> Cost:
    return cost(lambda: bare_loop(count, batch_size, folder))


def compare_with_loop(folder: str, count: int, repeats: int) -> None:
    stage_cost(folder, 1, None)
    fixed = statistics.median(
        stage_cost(folder, 1, None).cpu - loop_cost(folder, 1, None).cpu for _ in range(repeats)
    )
    print(f"fixed cost of the stage, once per test set: {1e3 * fixed:.1f} ms")
    for batch_size, aim in ((None, 0.95), (16, 1.0)):
        costs = interleave(
            {
                "loop": lambda size=batch_size: loop_cost(folder, count, size),
                "stage": lambda size=batch_size: stage_cost(folder, count, size),
            },
            repeats,
        )
        cpu = {name: [run.cpu for run in runs] for name, runs in costs.items()}
        cpu["steady"] = [spent - fixed for spent in cpu["stage"]]
        wall = {name: [run.wall for run in runs] for name, runs in costs.items()}
        per_sample = 1e3 * statistics.median(cpu["loop"]) / count
        print(f"batch {batch_size or 1:2d}: {per_sample:.2f} ms per sample in a bare loop;")
        print(f"  speed of the stage / loop {median_ratio(wall, 'loop', 'stage'):.3f} ", end="")
        print(f"by the clock, {median_ratio(cpu, 'loop', 'stage'):.3f} in processor time, ", end="")
        print(f"{median_ratio(cpu, 'loop', 'steady'):.3f} without the fixed cost  (aim {aim})")


def compare_lengths(folder: str, count: int, repeats: int) -> None:
    """Compare on utterances of different lengths."""
    lengths = Speech(count).lengths
    padded = [len(part) * max(part) for s in range(0, count, 16) if (part := lengths[s : s + 16])]
    budget = {"batching": {"mode": "dynamic", "max_cost": 16 * 6 * Speech.sample_rate}}
    settings = {
        "batch_size: 16": {"batch_size": 16},
        "cost budget": {"execution": budget},
    }
    reports: dict[str, Any] = {}

    def stage(name: str) -> None:
        reports[name] = run_stage(
            f"{folder}/{name[:5]}", "Recognizer", count, data="Speech", **settings[name]
        )

    runs = {name: lambda name=name: cost(lambda: stage(name)).cpu for name in settings}
    loop = {"loop": lambda: cost(lambda: bare_loop(count, 16, folder, Recognizer, Speech)).cpu}
    results = interleave({**loop, **runs}, repeats)
    rtf = statistics.median(results["loop"]) * Speech.sample_rate / sum(lengths)
    print(f"{count} utterances of 1 to 15 s: RTF {rtf:.4f} in a bare loop over batches of 16,")
    print(f"  of which {100 - 100 * sum(lengths) / sum(padded):.1f} % are padding")
    expected = set((Path(folder) / "bare.scp").read_text().splitlines())
    for name in settings:
        lines = (Path(folder) / name[:5] / "test" / "hyp.scp").read_text().splitlines()
        waste = reports[name]["padding_waste"]
        print(
            f"  {name}: stage / loop {median_ratio(results, 'loop', name):.3f}  (aim 1.0), padding "
            f"{'as there' if waste is None else f'{100 * waste:.1f} %'}, "
            f"{len(expected.symmetric_difference(lines)) // 2} texts differ"
        )


def measure_overhead(folder: str, items: int) -> None:
    spent = cost(lambda: run_stage(folder, "Trivial", items))
    print(f"trivial model, {items} samples: {1e6 * spent.wall / items:.1f} us per sample,")
    print(f"  of which {1e6 * spent.cpu / items:.1f} us of processor time  (aim 60)")


def bare_loops(pool: ProcessPoolExecutor, count: int, folders: Sequence[str]) -> float:
    """Let bare loops share the samples, one in each process that knows nothing of the others."""

    def share() -> None:
        loops = [pool.submit(bare_loop, count // len(folders), None, part) for part in folders]
        for loop in loops:
            loop.result()

    return cost(share).wall


def stage_seconds(folder: str, count: int, workers: int | None = None) -> float:
    """Decode on workers that a first test set has started, or in this process."""
    parallel = {} if workers is None else {"parallel": {"env": "local", "n_workers": workers}}
    return float(run_stage(folder, "Network", count, warm=workers or 1, **parallel)["seconds"])


def measure_workers(folder: str, count: int, workers: int, repeats: int) -> None:
    """Compare with one process, and with as many bare loops as there are workers."""
    folders = [f"{folder}/loop{number}" for number in range(workers)]
    for name in folders:
        Path(name).mkdir()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        results = interleave(
            {
                "loop": lambda: loop_cost(folder, count, None).wall,
                "loops": lambda: bare_loops(pool, count, folders),
                "stage": lambda: stage_seconds(folder, count),
                "workers": lambda: stage_seconds(folder, count, workers),
            },
            repeats,
        )
    print(
        f"{workers} workers: speed-up {median_ratio(results, 'stage', 'workers'):.2f}  (aim 1.8),"
    )
    ceiling = median_ratio(results, "loop", "loops")
    print(f"  of {workers} bare loops that run on their own {ceiling:.2f}; ", end="")
    print(f"speed of the workers / of these loops {median_ratio(results, 'loops', 'workers'):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=("loop", "lengths", "overhead", "workers"), default=None)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("espnet3").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        if args.only in (None, "loop"):
            compare_with_loop(folder, args.samples, args.repeats)
        if args.only in (None, "lengths"):
            compare_lengths(folder, max(16, args.samples // 16), min(3, args.repeats))
        if args.only in (None, "overhead"):
            measure_overhead(folder, args.items)
        if args.only in (None, "workers"):
            measure_workers(folder, args.samples, args.workers, args.repeats)
    print(machine_load())


if __name__ == "__main__":
    main()
