"""Detached jobs: each works on one shard of the items and outlives its submitter."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from espnet3.errors import ConfigError, ParallelError
from espnet3.parallel.settings import BATCH_ENVS, ParallelSettings
from espnet3.parallel.worker_env import EnvSelector
from espnet3.utils.config_utils import to_plain
from espnet3.utils.import_utils import import_object
from espnet3.utils.path_utils import atomic_open

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AsyncJobSpec:
    """What one detached job does; the content of its JSON file."""

    runner_cls: str
    """Dotted path of the runner."""
    provider_cls: str
    """Dotted path of the provider."""
    config: dict[str, Any]
    """Configuration of the provider, plain and resolved."""
    params: dict[str, Any]
    """``params`` of the provider."""
    indices: list[Any]
    """Items of this shard."""
    world_size: int
    """Number of shards."""
    world_rank: int
    """Number of this shard, from 0."""
    result_path: str | None
    """JSONL file of the results; ``None`` returns them instead."""
    extras: dict[str, Any]
    """``batched``: whether the items are lists of indices."""


def convert_paths(obj: Any) -> Any:
    """Return a copy of nested containers with every path turned into text."""
    if isinstance(obj, Mapping):
        return {key: convert_paths(value) for key, value in obj.items()}
    if isinstance(obj, tuple):
        return tuple(convert_paths(value) for value in obj)
    if isinstance(obj, list):
        return [convert_paths(value) for value in obj]
    return str(obj) if isinstance(obj, Path) else obj


def get_full_class_path_from_instance(obj: Any) -> str:
    """Return ``module.qualname`` of an instance's class; for a script, the stem of its file."""
    cls = type(obj)
    module = cls.__module__
    if module == "__main__":
        module = Path(str(getattr(sys.modules["__main__"], "__file__", "__main__"))).stem
    return f"{module}.{cls.__qualname__}"


def get_job_class(cluster: Any, spec_path: str | Path | None = None) -> type[Any]:
    """Return a job class like the cluster's, whose jobs work off a spec file.

    Args:
        cluster: Cluster of dask-jobqueue, or anything with ``job_cls``.
        spec_path: File of an :class:`AsyncJobSpec`.

    Raises:
        AssertionError: If ``spec_path`` is ``None``.
    """
    if spec_path is None:
        raise AssertionError("spec_path must be the file of a job")
    command = worker_command(spec_path)

    class DetachedJob(cluster.job_cls):  # type: ignore[misc]
        """A job that runs our entry point instead of a Dask worker."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._command_template = command

    return DetachedJob


def worker_command(spec_path: str | Path) -> str:
    """Return the command line of a detached job."""
    parts = [sys.executable, "-m", "espnet3.parallel.base_runner", str(spec_path)]
    return f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(parts)}"


def submit_shards(
    runner: Any, items: list[Any], settings: ParallelSettings, client: Any = None
) -> list[dict[str, str]]:
    """Submit one job for each contiguous part of the items, as many as there are workers.

    Args:
        runner: Says what is done, with which provider, and where specs and results go.
        items: Arguments of ``forward``.
        settings: Where the jobs run.
        client: Client of a cluster of a batch system without workers; ``None`` starts processes
            on this machine.

    Returns:
        Per shard ``job_id``, ``spec`` and ``result``, the latter two as absolute paths.
    """
    jobs = []
    shards = cut_shards(items, settings.num_workers)
    for rank, shard in enumerate(shards):
        job = _describe(runner, shard, rank, len(shards))
        jobs.append(job)
        if client is None:
            _start_process(job["spec"])
        else:
            _submit(client.cluster, job)
        logger.info("Detached job %s: items=%d result=%s", job["job_id"], len(shard), job["result"])
    return jobs


def cut_shards(items: list[Any], count: int) -> list[list[Any]]:
    """Return at most ``count`` contiguous parts of about the same size, larger ones first.

    Example:
        >>> cut_shards([1, 2, 3], 2)
        [[1, 2], [3]]
    """
    count = min(count, len(items))
    shards, start = [], 0
    for rank in range(count):
        size = len(items) // count + (rank < len(items) % count)
        shards.append(items[start : start + size])
        start += size
    return shards


def _describe(runner: Any, items: list[Any], rank: int, world_size: int) -> dict[str, str]:
    job_id = f"{uuid.uuid4().hex[:8]}-r{rank}"
    spec_path = runner.async_specs_dir / f"spec-{job_id}.json"
    result_path = runner.async_result_dir / f"result-{job_id}.jsonl"
    result_path.parent.mkdir(parents=True, exist_ok=True)
    spec = AsyncJobSpec(
        runner_cls=get_full_class_path_from_instance(runner),
        provider_cls=get_full_class_path_from_instance(runner.provider),
        config=convert_paths(to_plain(runner.provider.config)),
        params=convert_paths(to_plain(getattr(runner.provider, "params", {}))),
        indices=items,
        world_size=world_size,
        world_rank=rank,
        result_path=result_path.as_posix(),
        extras={"batched": runner.batch_size is not None},
    )
    try:
        text = json.dumps(dataclasses.asdict(spec), ensure_ascii=False, indent=2)
    except TypeError as error:
        raise ParallelError(
            f"the provider's configuration and params must be plain for detached jobs: {error}"
        ) from error
    with atomic_open(spec_path) as stream:
        stream.write(text)
    # A configuration may hold tokens.
    spec_path.chmod(0o600)
    return {"job_id": job_id, "spec": spec_path.as_posix(), "result": result_path.as_posix()}


def _start_process(spec_path: str) -> None:
    log = Path(spec_path).with_suffix(".log")
    search_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    command = [sys.executable, "-m", "espnet3.parallel.base_runner", spec_path]
    # The shell ends at once, so the job is nobody's child and nobody has to wait for it.
    subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", '"$@" > "$0" 2>&1 < /dev/null &', str(log), *command],
        env={**os.environ, "PYTHONPATH": search_path},
        start_new_session=True,
        check=True,
    )


def _submit(cluster: Any, job: dict[str, str]) -> None:
    job_cls = get_job_class(cluster, job["spec"])

    async def submit() -> None:
        # No scheduler waits for the job: it runs our entry point and ends.
        submitted = job_cls("tcp://detached:0", name=job["job_id"], **cluster._job_kwargs)
        with submitted.job_file() as script:
            await submitted._submit_job(script)

    cluster.sync(submit)


def run_spec_file(spec_path: str | Path) -> list[Any] | None:
    """Do the work of one detached job.

    Each result is one line of JSON, flushed at once; what JSON cannot hold becomes its ``repr``.

    Args:
        spec_path: File of an :class:`AsyncJobSpec`.

    Returns:
        The results, if the job has no file for them.
    """
    spec = AsyncJobSpec(**json.loads(Path(spec_path).read_text(encoding="utf-8")))
    runner_cls = import_object(spec.runner_cls, key="runner_cls")
    provider_cls = import_object(spec.provider_cls, key="provider_cls")
    os.environ["WORLD_SIZE"] = str(spec.world_size)
    os.environ["WORLD_RANK"] = str(spec.world_rank)
    provider = provider_cls(OmegaConf.create(spec.config), params=spec.params)
    env = provider.build_worker_setup_fn()()
    chosen = EnvSelector(runner_cls.forward)(env, 1, {})
    results = (runner_cls.forward(item, **chosen) for item in spec.indices)
    if spec.result_path is None:
        return list(results)
    with Path(spec.result_path).open("a", encoding="utf-8") as stream:
        for result in results:
            stream.write(_to_json(result) + "\n")
            stream.flush()
    return None


def _to_json(result: Any) -> str:
    try:
        return json.dumps(result, ensure_ascii=False)
    except (TypeError, ValueError):
        return json.dumps(repr(result), ensure_ascii=False)


def collect_async_results(jobs: Sequence[Mapping[str, str]]) -> list[Any]:
    """Return the results of detached jobs in the order of the items.

    Args:
        jobs: What the runner returned.

    Raises:
        ParallelError: If a shard has fewer results than items; it names all such shards.
    """
    results, missing = [], []
    for job in jobs:
        expected = len(json.loads(Path(job["spec"]).read_text(encoding="utf-8"))["indices"])
        found = list(_read_complete_lines(Path(job["result"])))
        results += found
        if len(found) < expected:
            missing.append(f"{job['job_id']}: {len(found)} of {expected} ({job['result']})")
    if missing:
        raise ParallelError("detached jobs that are not done:\n  " + "\n  ".join(missing))
    return results


def _read_complete_lines(path: Path) -> Iterator[Any]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            # The last line of a job that runs or was killed may be cut short.
            if line.endswith("\n"):
                yield json.loads(line)


def needs_cluster(settings: ParallelSettings) -> bool:
    """Tell whether detached jobs go to a batch system, or are processes of this machine.

    Raises:
        ConfigError: If the back end has no jobs that outlive their submitter.
    """
    if settings.backend in BATCH_ENVS:
        return True
    if settings.backend == "local":
        return False
    raise ConfigError(
        "has no detached jobs",
        key="parallel.env",
        value=settings.backend,
        hint=f"use local or one of {', '.join(BATCH_ENVS)}, or leave `async_mode` out",
    )
