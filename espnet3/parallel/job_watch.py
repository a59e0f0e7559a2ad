"""Jobs of a batch system: replace those whose workers have left, explain those that do not come."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from espnet3.errors import ParallelError
from espnet3.utils.redaction import redact_assignments
from espnet3.utils.types import Seconds

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

_LOOK_EVERY: Seconds = 1.0
_RESTART_TIME: Seconds = 15.0
"""A job may be without worker for so long while it starts one again."""
_MAX_REPLACEMENTS = 3
"""Per worker, with no work done in between."""


class JobWatch:
    """Submit a job again when its workers are gone, for example at the end of its walltime.

    Jobs that never had a worker are left alone: they wait in the queue.

    Args:
        client: Dask client; clusters that have no jobs are not watched.
        num_workers: Workers that the jobs have together.
    """

    def __init__(self, client: Client, *, num_workers: int) -> None:
        self._cluster: Any = client.cluster if has_jobs(client) else None
        self._num_workers = num_workers
        self._last_seen: dict[str, float] = {}
        """Job → when it had a worker."""
        self._workers: set[str] = set()
        """Workers that took work since the last look, and may be gone by now."""
        self._looked = time.monotonic()
        self._replacements = 0
        self._num_refused = 0

    def note(self, worker: str, *, has_worked: bool) -> None:
        """Say that a worker has taken work, and whether it came to an end with it."""
        self._workers.add(worker)
        if has_worked:
            self._replacements = 0

    def look(self) -> None:
        """Replace jobs that are gone, at most once a second.

        Raises:
            ParallelError: If the batch system refuses all jobs.
        """
        now = time.monotonic()
        if self._cluster is None or now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        workers = self._cluster.scheduler_info["workers"].values()
        names = [f"{name}-" for name in {*self._workers, *(info["name"] for info in workers)}]
        self._workers.clear()
        for job in map(str, self._cluster.worker_spec):
            if any(name.startswith(f"{job}-") for name in names):
                self._last_seen[job] = now
        self._count_refused(has_workers=bool(names))
        gone = [job for job, seen in self._last_seen.items() if now - seen > _RESTART_TIME]
        if gone and self._replacements < _MAX_REPLACEMENTS * self._num_workers:
            self._replace(gone)

    def _count_refused(self, *, has_workers: bool) -> None:
        jobs = list(self._cluster.workers.values())
        reasons = [job.refusal for job in jobs if getattr(job, "refusal", None) is not None]
        if reasons and len(reasons) == len(jobs) and not has_workers:
            raise ParallelError(f"{reasons[0]}\n{_script_lines(self._cluster)}")
        if len(reasons) > self._num_refused:
            logger.warning("Going on with fewer workers, for of %d job(s) %d were not taken: %s",
                           len(jobs), len(reasons), reasons[0])  # fmt: skip
        self._num_refused = len(reasons)

    def _replace(self, jobs: list[str]) -> None:
        logger.warning("Submitting %d job(s) again whose workers have left: %s", len(jobs), jobs)
        self._replacements += len(jobs)
        for job in jobs:
            del self._last_seen[job]
        self._cluster.sync(self._cluster.scale_down, jobs)
        self._cluster.scale(self._num_workers)


def has_jobs(client: Client) -> bool:
    """Tell whether the workers are those of jobs of a batch system."""
    return hasattr(client.cluster, "job_cls")


def log_place(client: Client) -> str:
    """Return where the logs of workers are, for people."""
    if not has_jobs(client):
        return "standard error of this run, where lines of workers begin with [worker <name>]"
    folder = (getattr(client.cluster, "_job_kwargs", None) or {}).get("log_directory")
    return str(folder or "where the batch system puts them")


def no_worker_message(client: Client, timeout: Seconds) -> str:
    """Return what is known about workers that did not come."""
    lines = [
        f"no worker arrived within {timeout:g} s",
        "  look into the queue and the logs of the jobs; `parallel.start_timeout` allows more time",
    ]
    job_script = getattr(client.cluster, "job_script", None)
    if job_script is not None:
        lines += [f"  logs: {log_place(client)}", _script_lines(client.cluster)]
    return "\n".join(lines)


def _script_lines(cluster: Any) -> str:
    lines = str(cluster.job_script()).splitlines()
    return "\n".join(["  job script:", *(f"    {redact_assignments(line)}" for line in lines)])
