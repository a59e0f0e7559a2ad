"""What is known about workers that died: what they had begun, and what ended them."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from espnet3.utils.types import Seconds

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

_EXIT_TAKES: Seconds = 0.5
"""The connection of a process ends a little before the process does."""


class WorkerDeaths:
    """Tell begun work from work that only waited on a worker that died, and name the cause.

    Args:
        client: Dask client. The cause is known where the processes are children of this one.
    """

    def __init__(self, client: Client) -> None:
        self.topic = f"espnet3-begun-{uuid.uuid4().hex}"
        """What :func:`announce` needs on the worker."""
        self._client: Any = client
        self._begun: set[str] = set()
        self._processes: dict[str, list[Any]] = {}
        self._causes: dict[str, str] = {}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear inside the block which work begins."""
        self._client.subscribe_topic(self.topic, self._hear)
        try:
            yield
        finally:
            self._client.unsubscribe_topic(self.topic)

    def _hear(self, event: tuple[float, str]) -> None:
        self._begun.add(event[1])
        self.look()

    def look(self) -> None:
        """Note the processes that there are; a dead one is replaced at once."""
        nannies = getattr(self._client.cluster, "workers", None) or {}
        for name, nanny in list(nannies.items()):
            process = getattr(getattr(nanny, "process", None), "process", None)
            known = self._processes.setdefault(str(name), [])
            if process is not None and process not in known:
                known.append(process)

    def had_begun(self, key: str) -> bool:
        """Tell whether the task of this key, which is over, was ever begun."""
        is_begun = key in self._begun
        self._begun.discard(key)
        return is_begun

    def report(self, address: str, name: str) -> str:
        """Return what ended a worker, such as `` (SIGKILL)``; the first time, log its death."""
        # Each piece that it had is reported; one that starts in its place has another address.
        if address not in self._causes:
            self._causes[address] = self._find_cause(name)
            cause = self._causes[address]
            logger.warning("Worker %s died%s; what it had is done again", name, cause)
        return self._causes[address]

    def _find_cause(self, name: str) -> str:
        code = self._find_exit_code(self._processes.get(name, []))
        if code is None:
            return ""
        if code >= 0:
            return f" (exit status {code})"
        with contextlib.suppress(ValueError):
            return f" ({signal.Signals(-code).name})"
        return f" (signal {-code})"

    def _find_exit_code(self, processes: list[Any]) -> int | None:
        """Return that of the last process of a worker that ended, and forget it."""
        deadline = time.monotonic() + _EXIT_TAKES
        while processes and time.monotonic() < deadline:
            ended = [process for process in processes if process.exitcode is not None]
            if ended:
                del processes[: processes.index(ended[-1]) + 1]
                return int(ended[-1].exitcode)
            time.sleep(0.01)
        return None


def announce(topic: str) -> None:
    """Say, in a task on a worker, that it begins; return when the scheduler knows.

    A message that is only sent could still be here when the work ends the process.
    """
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()
    sync(worker.loop, worker.scheduler.log_event, topic=topic, msg=worker.get_current_task())
