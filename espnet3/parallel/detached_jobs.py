"""Detached jobs: each works on one shard of the items and outlives its submitter."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, ParallelError
from espnet3.parallel.job_refusals import REFUSALS, explain_refusal
from espnet3.parallel.job_spec import AsyncJobSpec, count_items
from espnet3.parallel.job_state import find_death, log_file, note_process
from espnet3.parallel.job_worker import read_results
from espnet3.parallel.settings import BATCH_ENVS, ParallelSettings
from espnet3.parallel.shards import cut_shards
from espnet3.utils.types import PathLike, Seconds

logger = logging.getLogger(__name__)

_LOOK_EVERY: Seconds = 0.5
_AGAIN = "each goes on where it stopped with: python -m espnet3.parallel.base_runner <spec file>"


def get_job_class(cluster: Any, spec_path: PathLike | None = None) -> type[Any]:
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
            # The submit files of some systems have no lines for it, so it is part of the command.
            has_prologue = "job_script_prologue" in self._script_template
            prologue = [] if has_prologue else list(self._job_script_prologue or [])
            self._command_template = "; ".join([*prologue, command])

    return DetachedJob


def worker_command(spec_path: PathLike) -> str:
    """Return the command line of a detached job."""
    parts = [sys.executable, "-m", "espnet3.parallel.base_runner", str(spec_path)]
    return f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(parts)}"


def submit_shards(
    runner: Any,
    items: list[Any],
    settings: ParallelSettings,
    submit: Callable[[dict[str, str]], None],
) -> list[dict[str, str]]:
    """Submit one job for each contiguous part of the items, as many as there are workers.

    Args:
        runner: Says what is done, with which provider, and where specs and results go.
        items: Arguments of ``forward``.
        settings: Where the jobs run.
        submit: Starts one job: :func:`start_process`, or a batch system's command.

    Returns:
        Per shard ``job_id``, ``spec`` and ``result``, the latter two as absolute paths.

    Raises:
        ParallelError: If a job is not taken; those before it stay.
    """
    jobs: list[dict[str, str]] = []
    shards = cut_shards(items, settings.num_workers)
    for rank, shard in enumerate(shards):
        job = _describe(runner, shard, rank, len(shards))
        try:
            submit(job)
        except ParallelError as error:
            if jobs:
                error.add_note("submitted before: " + ", ".join(j["job_id"] for j in jobs))
            raise
        jobs.append(job)
        logger.info("Detached job %s: items=%d result=%s", job["job_id"], len(shard), job["result"])
    return jobs


def _describe(runner: Any, items: list[Any], rank: int, world_size: int) -> dict[str, str]:
    job_id = f"{uuid.uuid4().hex[:8]}-r{rank}"
    spec_path = runner.async_specs_dir / f"spec-{job_id}.json"
    result_path = runner.async_result_dir / f"result-{job_id}.jsonl"
    result_path.parent.mkdir(parents=True, exist_ok=True)
    spec = AsyncJobSpec.of(
        runner,
        indices=items,
        world_size=world_size,
        world_rank=rank,
        result_path=result_path.as_posix(),
    )
    spec.save(spec_path)
    return {"job_id": job_id, "spec": spec_path.as_posix(), "result": result_path.as_posix()}


def start_process(job: Mapping[str, str]) -> None:
    """Start a job as a process of this machine that outlives its parent."""
    spec_path = Path(job["spec"])
    search_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    command = [sys.executable, "-m", "espnet3.parallel.base_runner", job["spec"]]
    # The shell ends at once, so the job is nobody's child and nobody has to wait for it.
    started = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", '"$@" > "$0" 2>&1 < /dev/null & echo $!', log_file(spec_path), *command],
        env={**os.environ, "PYTHONPATH": search_path},
        start_new_session=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    note_process(spec_path, int(started.stdout))


def submit_to_cluster(cluster: Any, job_cls: type[Any], job: Mapping[str, str]) -> None:
    """Submit a job to a batch system.

    Args:
        cluster: Cluster of dask-jobqueue.
        job_cls: Result of :func:`get_job_class`.
        job: Has ``job_id``.

    Raises:
        ParallelError: If it does not take the job.
    """

    async def submit() -> None:
        # No scheduler waits for the job: it runs our entry point and ends.
        submitted = job_cls("tcp://detached:0", name=job["job_id"], **cluster._job_kwargs)
        with submitted.job_file() as script:
            await submitted._submit_job(script)

    try:
        cluster.sync(submit)
    except REFUSALS as error:
        raise ParallelError(explain_refusal(error, job_cls.submit_command)) from error


def collect_async_results(
    jobs: Sequence[Mapping[str, str]], *, timeout: Seconds | None = 0.0
) -> list[Any]:
    """Return the results of detached jobs in the order of the items.

    Args:
        jobs: What the runner returned.
        timeout: How long to wait for jobs that are not done; ``None`` as long as it takes.

    Raises:
        ParallelError: If a job has died, at once, or is not done in time; it names all such jobs,
            and says why they died.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        results: list[Any] = []
        missing: list[str] = []
        dead: list[str] = []
        for job in jobs:
            # In this order, for a job may end well in between.
            death = find_death(Path(job["spec"]))
            found = list(read_results(Path(job["result"])))
            results += found
            expected = count_items(Path(job["spec"]))
            if len(found) < expected:
                (missing if death is None else dead).append(
                    _describe_rest(job, f"{len(found)} of {expected}", death)
                )
        if dead:
            raise ParallelError("\n  ".join(["detached jobs that died:", *dead, _AGAIN]))
        if not missing:
            return results
        if deadline is not None and time.monotonic() >= deadline:
            raise ParallelError("\n  ".join(["detached jobs that are not done:", *missing]))
        time.sleep(_LOOK_EVERY)


def _describe_rest(job: Mapping[str, str], count: str, death: str | None) -> str:
    log = log_file(Path(job["spec"]))
    where = [job["result"], *([f"log: {log}"] if log.is_file() else [])]
    reason = "" if death is None else "\n    " + death.replace("\n", "\n    ")
    return f"{job['job_id']}: {count} ({', '.join(where)}){reason}"


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
