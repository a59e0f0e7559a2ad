"""Workers that did not come back: start them again, and count those that cannot start."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from espnet3.parallel.job_watch import has_jobs
from espnet3.parallel.restarts import Restarts
from espnet3.utils.types import Seconds

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

_LOOK_EVERY: Seconds = 1.0


class WorkerStarts:
    """Start a worker again that Dask has given up, because it was away for 15 s or cannot start.

    Args:
        client: Dask client; clusters that submit jobs, or do not say what workers they should
            have, are left alone.
        restarts: Counts each start that fails.
    """

    def __init__(self, client: Client, restarts: Restarts) -> None:
        is_watched = hasattr(client.cluster, "worker_spec") and not has_jobs(client)
        self._cluster: Any = client.cluster if is_watched else None
        self._restarts = restarts
        self._looked = time.monotonic()
        self._starting: concurrent.futures.Future[None] | None = None
        self._started: set[Any] = set()

    def look(self) -> None:
        """Start what is missing, at most once a second, and one time after the other."""
        now = time.monotonic()
        if self._cluster is None or now - self._looked < _LOOK_EVERY or self._is_starting:
            return
        self._looked = now
        lost = self._find_lost()
        for name in self._started.intersection(lost):
            self._restarts.note(f"{name} {now}", f"{name}, which could not start,")
        self._started = set(lost)
        if lost:
            logger.warning("Starting workers again that did not come back: %s", lost)
            self._starting = asyncio.run_coroutine_threadsafe(
                _start(self._cluster, lost), self._cluster.loop.asyncio_loop
            )

    @property
    def _is_starting(self) -> bool:
        return self._starting is not None and not self._starting.done()

    def _find_lost(self) -> list[Any]:
        from distributed import Status

        if self._cluster.status != Status.running:
            return []
        watched = dict(self._cluster.workers)
        gone = {None, Status.closed, Status.failed}
        return [
            n for n in self._cluster.worker_spec if getattr(watched.get(n), "status", None) in gone
        ]


async def _start(cluster: Any, names: Sequence[Any]) -> None:
    for name in names:
        cluster.workers.pop(name, None)
    # Opens what the cluster lacks; what fails is closed afterwards, and found by the next look.
    await cluster
