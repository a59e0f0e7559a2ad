"""B6: what the ``infer`` stage costs beyond the model.

Four parts. A small torch model one sample at a time and in batches, against a bare loop that
builds the same model and goes over the same samples in the same batches: speed of the stage divided
by that of the loop, in processor time of the one thread that both take, once with all that the
stage does once per test set and once without what a test set of one sample takes. That is pure
overhead, for all samples have the same length. A small Conformer on utterances of 1 to 15 s,
against a bare loop over batches of 16 in the order of the data set, which pads a lot: the same
ratio for the stage with the same batches, and for `dynamic` ones within a cost budget; the texts
must be the same. A trivial model
over many samples: microseconds per sample, from the data set to the SCP file. The same
single-threaded model in this process and with two workers: ratio of the decoding times, without the
start of the workers.

The first three parts hold on a busy machine. The ratio of the last needs idle cores, one per
worker: run it with ``--only workers`` and nothing else on the machine. The processor time that
workers take beyond one process is shown too and says more where the machine is busy.

    python benchmarks/b6_infer.py [--items 200000] [--samples 2000] [--repeats 5] [--only lengths]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.timing import interleave, machine_load, median_ratio, pin_threads

pin_threads()

import torch  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

from espnet3.components.layers.conformer import ConformerEncoder  # noqa: E402
from espnet3.components.layers.frontend import LogMelFrontend  # noqa: E402
from espnet3.systems.base.inference import infer  # noqa: E402

HERE = "benchmarks.b6_infer"
SIZE = 4000


class Samples:
    """Ready-made samples, so that reading costs nothing."""

    def __init__(self, count: int) -> None:
        self.count = count
        generator = torch.Generator().manual_seed(0)
        self.speech = [torch.randn(SIZE, generator=generator) for _ in range(16)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"utt_id": f"utt{index:07d}", "speech": self.speech[index % 16]}


class Speech:
    """Noise whose lengths are spread as those of utterances are, and told without reading."""

    sample_rate = 16000

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        seconds = torch.randn(count, generator=generator).mul(0.6).add(1.5).exp().clamp(1, 15)
        self.lengths = [int(self.sample_rate * value) for value in seconds.tolist()]
        self.noise = torch.randn(16 * self.sample_rate, generator=generator) / 10

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        start = 97 * index % self.sample_rate
        speech = self.noise[start : start + self.lengths[index]]
        return {"utt_id": f"utt{index:07d}", "speech": speech}


class Organizer:
    """Test sets of any size."""

    def __init__(self, test: list[dict[str, Any]]) -> None:
        self.test = {entry["name"]: globals()[entry["data"]](entry["count"]) for entry in test}


class Trivial:
    """Does nothing."""

    def __call__(self, speech: Any) -> str:
        return "a few words of text"


class Network:
    """A few milliseconds of matrix products for each sample, in one thread."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(80, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 2048), torch.nn.ReLU()
        )

    def __call__(self, speech: Any) -> Any:
        is_list = isinstance(speech, list)
        samples = torch.stack(speech if is_list else [speech])
        with torch.no_grad():
            values = self.net(samples.view(len(samples), -1, 80)).mean((1, 2))
        texts = [f"{value:.3f}" for value in values.tolist()]
        return texts if is_list else texts[0]


class Recognizer:
    """Log-mel features, a small Conformer and greedy decoding; padding costs what speech does."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        sizes = {"output_size": 64, "num_blocks": 2, "linear_units": 128}
        self.frontend = LogMelFrontend(n_mels=40)
        self.encoder = ConformerEncoder(40, **sizes, subsampling_channels=32).eval()
        self.head = torch.nn.Linear(64, 30)

    def __call__(self, speech: list[Any]) -> list[str]:
        lengths = torch.tensor([len(item) for item in speech])
        padded = torch.nn.utils.rnn.pad_sequence(speech, batch_first=True)
        with torch.no_grad():
            hidden, lengths = self.encoder(*self.frontend(padded, lengths))
            best = self.head(hidden).argmax(-1)
        tokens = [
            row[:n].unique_consecutive().tolist() for row, n in zip(best, lengths, strict=True)
        ]
        return [" ".join(map(str, row)) for row in tokens]


def build_output(data: Any, model_output: Any, idx: Any) -> Any:
    if isinstance(idx, list):
        rows = zip(data, model_output, strict=True)
        return [{"utt_id": sample["utt_id"], "hyp": text} for sample, text in rows]
    return {"utt_id": data["utt_id"], "hyp": model_output}


def run_stage(
    folder: str, model: str, count: int, data: str = "Samples", **changes: Any
) -> dict[str, Any]:
    """Run the stage and return its report."""
    config = {
        "recipe_dir": ".",
        "inference_dir": folder,
        "dataset": {
            "_target_": f"{HERE}.Organizer",
            "test": [{"name": "test", "count": count, "data": data}],
        },
        "model": {"_target_": f"{HERE}.{model}"},
        "input_key": "speech",
        "output_fn": f"{HERE}.build_output",
        "output_keys": ["hyp"],
        "provider": {"_target_": "espnet3.systems.base.inference_provider.InferenceProvider"},
        "runner": {
            "_target_": "espnet3.systems.base.inference_runner.InferenceRunner",
            "resume": False,
        },
        **changes,
    }
    infer(OmegaConf.create(config))
    return dict(json.loads((Path(folder) / "test" / "inference_report.json").read_text()))


def bare_loop(
    count: int,
    batch_size: int | None,
    folder: str,
    model_cls: type[Any] = Network,
    data_cls: type[Any] = Samples,
) -> float:
    started = time.process_time()
    model, dataset = model_cls(), data_cls(count)
    with (Path(folder) / "bare.scp").open("w", encoding="utf-8") as stream:
        for start in range(0, count, batch_size or 1):
            data = [dataset[i] for i in range(start, min(start + (batch_size or 1), count))]
            speech = [sample["speech"] for sample in data]
            texts = model(speech=speech) if batch_size else [model(speech=speech[0])]
            for sample, text in zip(data, texts, strict=True):
                stream.write(f"{sample['utt_id']} {text}\n")
    return time.process_time() - started


def stage_loop(folder: str, count: int, batch_size: int | None) -> float:
    started = time.process_time()
    run_stage(folder, "Network", count, batch_size=batch_size)
    return time.process_time() - started


def compare_with_loop(folder: str, count: int, repeats: int) -> None:
    stage_loop(folder, 1, None)
    fixed = statistics.median(
        stage_loop(folder, 1, None) - bare_loop(1, None, folder) for _ in range(repeats)
    )
    print(f"fixed cost of the stage, once per test set: {1e3 * fixed:.1f} ms")
    for batch_size, aim in ((None, 0.95), (16, 1.0)):
        results = interleave(
            {
                "loop": lambda size=batch_size: bare_loop(count, size, folder),
                "stage": lambda size=batch_size: stage_loop(folder, count, size),
            },
            repeats,
        )
        ratio = median_ratio(results, "loop", "stage")
        per_sample = 1e3 * statistics.median(results["loop"]) / count
        print(
            f"batch {batch_size or 1:2d}: {per_sample:.2f} ms per sample in a bare loop; ", end=""
        )
        results["steady"] = [seconds - fixed for seconds in results["stage"]]
        steady = median_ratio(results, "loop", "steady")
        print(f"stage / loop {ratio:.3f}, without the fixed cost {steady:.3f}  (aim {aim})")


def compare_lengths(folder: str, count: int, repeats: int) -> None:
    """Compare on utterances of different lengths."""
    lengths = Speech(count).lengths
    seconds = sum(lengths) / Speech.sample_rate
    padded = [len(part) * max(part) for s in range(0, count, 16) if (part := lengths[s : s + 16])]
    budget = {"batching": {"mode": "dynamic", "max_cost": 16 * 6 * Speech.sample_rate}}
    settings = {
        "batch_size: 16": {"batch_size": 16},
        "cost budget": {"execution": budget},
    }
    reports: dict[str, Any] = {}

    def stage(name: str) -> float:
        started = time.process_time()
        reports[name] = run_stage(
            f"{folder}/{name[:5]}", "Recognizer", count, data="Speech", **settings[name]
        )
        return time.process_time() - started

    runs = {name: lambda name=name: stage(name) for name in settings}
    loop = {"loop": lambda: bare_loop(count, 16, folder, Recognizer, Speech)}
    results = interleave({**loop, **runs}, repeats)
    rtf = statistics.median(results["loop"]) / seconds
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
    cpu = time.process_time()
    report = run_stage(folder, "Trivial", items)
    cpu = time.process_time() - cpu
    print(f"trivial model, {items} samples: {1e6 * report['seconds'] / items:.1f} us per sample,")
    print(f"  of which {1e6 * cpu / items:.1f} us of processor time  (aim 60)")


def measure_workers(folder: str, count: int, workers: int) -> None:
    parallel = {"env": "local", "n_workers": workers}
    before = os.times()
    one = run_stage(folder, "Network", count)["seconds"]
    middle = os.times()
    report = run_stage(folder, "Network", count, parallel=parallel)
    after = os.times()
    # The report counts the start of the workers; a run of one sample tells how long that takes.
    start = run_stage(folder, "Network", workers, parallel=parallel)["seconds"]
    cpu_one = sum(middle[:4]) - sum(before[:4])
    cpu_many = sum(after[:4]) - sum(middle[:4])
    print(
        f"{workers} workers: {one:.1f} s here, {report['seconds'] - start:.1f} s with workers ",
        end="",
    )
    print(
        f"(+ {start:.1f} s to start); speed-up {one / (report['seconds'] - start):.2f}  (aim 1.8)"
    )
    print(f"  processor time {cpu_one:.1f} s here, {cpu_many:.1f} s with workers and their start")


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
            measure_workers(folder, 6 * args.samples, args.workers)
    print(machine_load())


if __name__ == "__main__":
    main()
