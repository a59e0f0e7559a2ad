"""What the inference engine costs on this machine: ``python -m espnet3.parallel.bench``."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from espnet3.errors import ConfigError
from espnet3.systems.base.bench_samples import Busy, Trivial, make_config
from espnet3.systems.base.inference import infer
from espnet3.utils.config_utils import load_and_merge_config, to_plain
from espnet3.utils.recipe_path import activate_recipe
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)

_TASKS = 500
"""Single Dask tasks to measure; each takes milliseconds."""
_LOOP_ENVS = ("local", "local_gpu")
"""Back ends whose workers are compared with processes that know nothing of each other."""


def decode(
    config: Mapping[str, Any], parallel: Mapping[str, Any], limit: int
) -> tuple[Seconds, Seconds]:
    """Run the stage twice over the front of the first test set, into a temporary folder.

    Returns:
        What the start of workers and model takes, and the second time that the samples take.
    """
    with tempfile.TemporaryDirectory() as folder:
        entry = dict(config["dataset"]["test"][0])
        sets = [{**entry, "name": name} for name in ("first", "second")]
        execution = dict(config.get("execution") or {})
        infer(
            OmegaConf.create(
                {
                    **config,
                    "inference_dir": folder,
                    "dataset": {**config["dataset"], "test": sets},
                    "parallel": dict(parallel),
                    "execution": {**execution, "limit": limit, "progress": "none"},
                    "runner": {**config["runner"], "resume": False},
                }
            )
        )
        first, second = (
            json.loads(Path(folder, entry["name"], "inference_report.json").read_text())["seconds"]
            for entry in sets
        )
    return max(first - second, 0.0), second


def time_single_tasks(parallel: Mapping[str, Any], count: int) -> Seconds:
    """Return what a sample takes that is a Dask task of its own."""
    from espnet3.parallel.parallel import get_client, preserve_parallel_config

    with preserve_parallel_config(), get_client(OmegaConf.create(dict(parallel))) as client:
        client.gather(client.map(Trivial(), range(10), pure=False))
        started = time.perf_counter()
        client.gather(client.map(Trivial(), range(count), pure=False))
        return (time.perf_counter() - started) / count


def time_loops(config: Mapping[str, Any], count: int, num_loops: int, share: int) -> Seconds:
    """Return how long bare loops take that run at once, each over the same samples.

    Args:
        config: Content of an inference.yaml.
        count: Samples.
        num_loops: Processes.
        share: Into how many parts the cores of the machine are divided.
    """
    context = multiprocessing.get_context("spawn")
    barrier, times = context.Barrier(num_loops), context.SimpleQueue()
    loops = [
        context.Process(target=_loop, args=(dict(config), count, share, number, barrier, times))
        for number in range(num_loops)
    ]
    for loop in loops:
        loop.start()
    running: dict[Any, Any] = {loop.sentinel: loop for loop in loops}
    while running:
        for sentinel in wait(list(running)):
            loop = running.pop(sentinel)
            loop.join()
            if loop.exitcode:
                # The others would wait for it to begin.
                barrier.abort()
    if any(loop.exitcode for loop in loops):
        raise ConfigError("a bare loop over the samples has failed; its traceback is above")
    return float(max(times.get() for _ in loops))


def _loop(
    config: dict[str, Any], count: int, share: int, number: int, barrier: Any, times: Any
) -> None:
    """Run in a process of its own, on the cores and the GPU that a worker would have."""
    from espnet3.parallel.clusters import thread_variables

    os.environ |= thread_variables(share)
    if (config.get("parallel") or {}).get("env") == "local_gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number)
    from espnet3.systems.base.inference import prepare_test_set
    from espnet3.systems.base.settings import InferenceSettings
    from espnet3.utils.settings import parse_settings

    filled = OmegaConf.create({**config, "inference_dir": "."})
    settings = parse_settings(filled, InferenceSettings, key="")
    test_set = prepare_test_set(filled, settings, settings.test_names()[0])
    env, forward = test_set.provider.build_env_local(), type(test_set.runner).forward
    size = settings.batch_size
    items: list[Any] = list(range(count))
    if size:
        items = [items[start : start + size] for start in range(0, count, size)]
    forward(items[0], **env)
    barrier.wait()
    started = time.perf_counter()
    for item in items:
        forward(item, **env)
    times.put(time.perf_counter() - started)


def measure_overhead(parallel: Mapping[str, Any], items: int) -> Iterator[str]:
    """Yield what a sample costs beside the model."""
    config, workers = make_config(Trivial, items), parallel["n_workers"]
    _, here = decode(config, {"env": "local", "n_workers": 1}, items)
    yield _row("this process, trivial model", f"{1e6 * here / items:.1f} us per sample", "60")
    start, there = decode(config, parallel, items)
    yield _row(f"workers ({workers}), trivial model", f"{1e6 * there / items:.1f} us", "200")
    yield _row("their start", f"{start:.1f} s", "3")
    single = time_single_tasks(parallel, min(items, _TASKS))
    times = single * items / max(there, 1e-9)
    yield _row("one Dask task per sample", f"{1e6 * single:.0f} us, {times:.0f} times that", "40")


def measure_speed(
    config: Mapping[str, Any], parallel: Mapping[str, Any], count: int
) -> Iterator[str]:
    """Yield how fast a model is on workers, and what the machine has to give."""
    workers = parallel["n_workers"]
    _, seconds = decode(config, parallel, count)
    speed = count / seconds
    yield _row(f"workers ({workers})", f"{speed:.1f} samples/s")
    if parallel["env"] not in _LOOP_ENVS:
        return
    given = {**config, "parallel": dict(parallel)}
    one = count / time_loops(given, count, 1, workers)
    many = workers * count / time_loops(given, count, workers, workers)
    yield _row("a bare loop", f"{one:.1f} samples/s")
    yield _row(f"bare loops ({workers}) at once", f"{many:.1f} samples/s, {many / one:.2f} times")
    yield _row("workers / a bare loop", f"{speed / one:.2f}", f"{0.85 * workers:.2f}")
    yield _row("workers / bare loops at once", f"{speed / many:.2f}")


def _row(name: str, value: str, target: str | None = None) -> str:
    return f"  {name:32s} {value}" + (f"  (target {target})" if target else "")


def load_config(
    path: Path, training_path: Path | None, template_package: str | None
) -> dict[str, Any]:
    """Return a recipe's inference.yaml, merged and resolved."""
    from espnet3.utils.experiment_naming import apply_training_experiment_context

    def load(path: Path | None, name: str) -> Any:
        return load_and_merge_config(path, name, template_package, resolve=False)

    config, training = load(path, "inference.yaml"), load(training_path, "training.yaml")
    apply_training_experiment_context(
        training_config=training, inference_config=config, metrics_config=None, log=logger
    )
    OmegaConf.resolve(config)
    plain: dict[str, Any] = to_plain(config)
    return plain


def _measure(args: argparse.Namespace) -> Iterator[str]:
    config = make_config(Busy, args.samples)
    if args.config is not None:
        activate_recipe(Path())
        config = load_config(args.config, args.training_config, args.template_package)
    given = {key: v for key, v in (config.get("parallel") or {}).items() if v is not None}
    parallel = {"env": "local", "n_workers": os.cpu_count(), **given}
    if args.workers is not None:
        parallel["n_workers"] = args.workers
    yield f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first measurement"
    yield from measure_overhead(parallel, args.items)
    yield f"{args.config or 'a model that keeps one core busy'}, {args.samples} samples"
    yield from measure_speed(config, parallel, args.samples)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the numbers to standard output, as they are found; return an exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet3.parallel.bench",
        description="What the inference engine costs on this machine, and how it scales. "
        "Nothing else should run meanwhile.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, help="inference.yaml of a recipe, run in its folder")
    parser.add_argument("--training_config", type=Path, help="names the experiment, as for run.py")
    parser.add_argument("--template_package", help="such as egs3.TEMPLATE.asr, outside of egs3/")
    parser.add_argument("--workers", type=int, help="default: of the file, else one per core")
    parser.add_argument("--items", type=int, default=50_000, help="for the trivial model")
    parser.add_argument("--samples", type=int, default=1000, help="for the model of the file")
    args = parser.parse_args(arguments)
    with contextlib.suppress(BrokenPipeError):
        for line in _measure(args):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    return 0
