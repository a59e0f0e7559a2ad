"""Let the workers of a Dask client pull work until all is done, also when some of them die."""

from __future__ import annotations

import concurrent.futures
import queue
import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from espnet3.errors import ParallelError
from espnet3.parallel.backlog import Backlog
from espnet3.parallel.job_watch import JobWatch, has_jobs, log_place, no_worker_message
from espnet3.parallel.restarts import Restarts
from espnet3.parallel.transport import pack
from espnet3.parallel.work_pieces import Finished, Piece
from espnet3.parallel.worker_deaths import WorkerDeaths, announce
from espnet3.parallel.worker_starts import WorkerStarts
from espnet3.utils.types import Seconds

if TYPE_CHECKING:
    from distributed import Client, Future

U = TypeVar("U")

_DEPTH = 2
"""Pieces per worker: one in work and one that waits, so that no worker waits for the driver."""
_SHARED_DEATHS = 2
_MOST_WAITS = 10
"""After so many deaths, work counts as begun even if nobody has heard of it."""
_POLL_SEC: Seconds = 1.0


class WorkPool(Generic[U]):
    """Hand out pieces of a backlog and yield what comes back, in the order of completion.

    What a dead worker had is done again by another one. Work that was begun at two deaths is
    split up and each part is done while nothing else is; what kills workers even then is given up.

    Args:
        client: Dask client.
        num_workers: Workers to expect.
        start_timeout: How long to wait while there is no worker at all; ``None`` for ever.
        split: Cuts one unit into the smallest ones that can be done alone.
        retries: How often a unit whose worker died while it was alone may have another one.
        must_stop: Asked before work is handed out; once true, only what is out is waited for.
        restarts: Counts deaths where several pools belong to one run.
    """

    def __init__(
        self,
        client: Client,
        *,
        num_workers: int,
        start_timeout: Seconds | None = 600.0,
        split: Callable[[U], Sequence[U]] = lambda unit: [unit],
        retries: int = 1,
        must_stop: Callable[[], bool] = lambda: False,
        restarts: Restarts | None = None,
    ) -> None:
        self._client = client
        self._num_workers = num_workers
        self._start_timeout = start_timeout
        self._split = split
        self._retries_alone = retries
        self._must_stop = must_stop
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._flying: dict[str, tuple[Future, Piece[U]]] = {}
        self._retries: list[Piece[U]] = []
        self._suspects: list[Piece[U]] = []
        self._seen_worker = time.monotonic()
        self._jobs = JobWatch(client, num_workers=num_workers)
        self._dead = WorkerDeaths(client)
        self._restarts = restarts or self.count_restarts(client, num_workers, retries)
        self._starts = WorkerStarts(client, self._restarts)

    @staticmethod
    def count_restarts(client: Client, num_workers: int, retries: int) -> Restarts:
        """Return what counts the deaths of a run; arguments are those of the pool."""
        return Restarts(
            num_workers=num_workers,
            least=_SHARED_DEATHS + retries + 1,
            # These jobs end with their walltime, and are submitted again.
            forgets=has_jobs(client),
        )

    def run(
        self, func: Callable[..., Any], backlog: Backlog[U]
    ) -> Generator[Finished[U], None, None]:
        """Call ``func(units)`` on the workers until the backlog is empty.

        Args:
            func: Importable function, or one that can be pickled by value.
            backlog: Work to do.

        Raises:
            ParallelError: If there is no worker for too long, or too many have died.
            Exception: What ``func`` raises; the rest of the work is cancelled then.
        """
        self._seen_worker = time.monotonic()
        with self._dead.listening():
            try:
                self._feed(func, backlog)
                while self._flying:
                    future, piece = self._wait()
                    finished = self._settle(future, piece, backlog)
                    self._feed(func, backlog)
                    yield from finished
            finally:
                self._client.cancel([future for future, _ in self._flying.values()])
                self._flying.clear()

    def _feed(self, func: Callable[..., Any], backlog: Backlog[U]) -> None:
        if not self._flying and (self._retries or self._suspects or len(backlog)):
            self._restarts.wait(self._must_stop)
        if self._must_stop():
            return
        while len(self._flying) < _DEPTH * (self._num_workers - self._restarts.num_resting):
            piece = self._retries.pop(0) if self._retries else Piece(backlog.take())
            if not piece.units:
                break
            self._submit(func, piece)
        if not self._flying and self._suspects:
            self._submit(func, self._suspects.pop(0))

    def _submit(self, func: Callable[..., Any], piece: Piece[U]) -> None:
        try:
            future = self._client.submit(
                _run_piece, func, piece.units, self._dead.topic, pure=False
            )
        except TypeError:
            pack((func, piece.units), "the work")
            raise
        self._dead.look()
        self._flying[future.key] = (future, piece)
        future.add_done_callback(self._done.put)

    def _wait(self) -> tuple[Future, Piece[U]]:
        # Results that come quickly leave no time to look: a worker has just been there.
        self._seen_worker = time.monotonic()
        while True:
            self._look_for_lost()
            try:
                return self._flying.pop(self._done.get(timeout=_POLL_SEC).key)
            except queue.Empty:
                self._look_after_workers()

    def _settle(self, future: Future, piece: Piece[U], backlog: Backlog[U]) -> list[Finished[U]]:
        from distributed import KilledWorker

        if future.cancelled():
            raise ParallelError("the connection to the scheduler was lost")
        try:
            value, seconds, worker = self._fetch(future)
            self._jobs.note(worker, has_worked=True)
        except KilledWorker as error:
            return self._bury(piece, error, has_begun=self._dead.had_begun(future.key))
        except TypeError as error:
            if str(error).startswith("Could not serialize object"):
                reason = str(error).strip().splitlines()[-1]
                raise ParallelError(f"a result cannot travel to the driver: {reason}") from None
            raise
        backlog.record(count=len(piece.units), seconds=seconds)
        self._restarts.finished()
        return [piece.finished(value=value, worker=worker)]

    def _fetch(self, future: Future) -> Any:
        """Return a result; a worker that dies before it is here has it made again by another."""
        import asyncio  # a tenth of what a dry run takes, which needs no event loop

        fetching = asyncio.run_coroutine_threadsafe(
            self._client.gather(future, asynchronous=True), self._client.loop.asyncio_loop
        )
        try:
            while not concurrent.futures.wait([fetching], timeout=_POLL_SEC).done:
                self._look_for_lost()
                self._look_after_workers()
            return fetching.result()
        finally:
            fetching.cancel()

    def _bury(self, piece: Piece[U], error: Any, *, has_begun: bool) -> list[Finished[U]]:
        """Decide what happens to the work of a dead worker."""
        address, worker = error.last_worker.address, str(error.last_worker.name)
        self._jobs.note(worker, has_worked=False)
        cause = self._dead.report(address, worker)
        self._restarts.note(address, worker + cause)
        if not has_begun and piece.waits < _MOST_WAITS:
            piece.waits += 1
            (self._suspects if piece.is_alone else self._retries).insert(0, piece)
            lost = []
        else:
            piece.killed.add(address)
            lost = self._suspect(piece, worker, cause)
        self._restarts.check(logs=log_place(self._client))
        return lost

    def _suspect(self, piece: Piece[U], worker: str, cause: str) -> list[Finished[U]]:
        """Do work again that may have killed a worker, or give it up."""
        piece.deaths += 1
        if piece.is_alone and piece.deaths > self._retries_alone:
            self._restarts.explain(piece.killed)
            return [piece.finished(value=None, worker=worker, is_lost=True, cause=cause)]
        if piece.is_alone:
            self._suspects.insert(0, piece)
        elif piece.deaths < _SHARED_DEATHS:
            self._retries.append(piece)
        else:
            parts = [part for unit in piece.units for part in self._split(unit)]
            self._suspects += [Piece([p], is_alone=True, killed=set(piece.killed)) for p in parts]
        return []

    def _look_for_lost(self) -> None:
        self._jobs.look()
        self._starts.look()
        self._restarts.check(logs=log_place(self._client))

    def _look_after_workers(self) -> None:
        if len(self._client.nthreads()) > 0:
            self._seen_worker = time.monotonic()
            return
        waited = time.monotonic() - self._seen_worker
        if self._start_timeout is not None and waited > self._start_timeout:
            raise ParallelError(no_worker_message(self._client, self._start_timeout))


def _run_piece(func: Callable[..., Any], units: list[Any], topic: str) -> tuple[Any, Seconds, str]:
    """Run on a worker."""
    from distributed import get_worker

    announce(topic)
    started = time.perf_counter()
    value = func(units)
    return value, time.perf_counter() - started, str(get_worker().name)
