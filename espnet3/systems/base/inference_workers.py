"""Decode the batches of a test set here or on workers, with one outcome after the other."""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from espnet3.components.inference.batching import Batch
from espnet3.components.inference.settings import ExecutionSettings
from espnet3.parallel.backlog import Backlog
from espnet3.parallel.parallel import build_client, close_client, read_settings, register_env
from espnet3.parallel.work_pool import Finished, WorkPool
from espnet3.parallel.worker_env import current_env
from espnet3.systems.base.inference_engine import (
    DecodeEngine,
    Failure,
    Outcome,
    preserve_random_state,
)
from espnet3.systems.base.inference_writer import RecordWriter

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, kw_only=True)
class DecodeJob:
    """What is the same for all batches of a test set; plain values, so that it can travel."""

    runner_cls: type[Any]
    folder: Path
    idx_key: str
    fields: tuple[str, ...]
    """Output fields; empty if the first record decides."""
    artifacts: Mapping[str, Any] | None
    settings: ExecutionSettings
    sample_rate: float | None

    def build_engine(self, env: Mapping[str, Any]) -> DecodeEngine:
        """Return what decodes in this process."""
        writer = RecordWriter(
            self.folder, idx_key=self.idx_key, fields=self.fields, artifacts=self.artifacts
        )
        return DecodeEngine(
            self.runner_cls.forward,
            env,
            writer=writer,
            settings=self.settings,
            sample_rate=self.sample_rate,
        )


class Workforce:
    """The processes that decode: this one, or workers that stay for all test sets.

    Example:
        >>> with Workforce() as workforce:
        ...     workforce.num_workers
        1
    """

    def __init__(self) -> None:
        self._parallel = read_settings()
        self._client: Client | None = None
        self.deaths = 0
        """Workers that died with work."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._client is not None:
            close_client(self._client)

    @property
    def num_workers(self) -> int:
        """Processes that decode."""
        return self._parallel.num_workers

    def decode(
        self, job: DecodeJob, provider: Any, batches: Sequence[Batch], fields: Sequence[str]
    ) -> Generator[Outcome, None, None]:
        """Yield outcomes until all batches are through.

        Args:
            job: What to do.
            provider: Builds the environment, here or on the workers.
            batches: Work, in the order in which it is handed out.
            fields: Output fields, if they are known already.
        """
        if self._parallel.is_in_process:
            return self._decode_here(job, provider, batches, fields)
        return self._decode_on_workers(job, provider, batches, list(fields))

    def _decode_here(
        self, job: DecodeJob, provider: Any, batches: Sequence[Batch], fields: Sequence[str]
    ) -> Generator[Outcome, None, None]:
        with preserve_random_state():
            engine = job.build_engine(provider.build_env_local())
            engine.writer.fields = list(fields)
            yield from engine.run(batches)

    def _decode_on_workers(
        self, job: DecodeJob, provider: Any, batches: Sequence[Batch], fields: list[str]
    ) -> Generator[Outcome, None, None]:
        if self._client is None:
            self._client = build_client()
        register_env(self._client, make_setup(job, provider.build_worker_setup_fn()))
        self.deaths, start = 0, 0
        # The first record says which fields there are, so the first batch goes alone.
        while not fields and start < len(batches):
            for outcome in self._pull(batches[start : start + 1], fields):
                fields = fields or outcome.fields
                yield outcome
            start += 1
        yield from self._pull(batches[start:], fields)

    def _pull(self, batches: Sequence[Batch], fields: list[str]) -> Generator[Outcome, None, None]:
        pool: WorkPool[Batch] = WorkPool(
            self._client,
            num_workers=self.num_workers,
            start_timeout=self._parallel.start_timeout,
            split=Batch.singles,
        )
        work = functools.partial(_decode_units, list(fields))
        deaths = self.deaths
        with contextlib.closing(
            pool.run(work, Backlog(batches, num_workers=self.num_workers))
        ) as done:
            for finished in done:
                self.deaths = deaths + pool.deaths
                outcome = _lost(finished) if finished.is_lost else finished.value
                for failure in outcome.failures:
                    failure.worker = finished.worker
                yield outcome


def make_setup(
    job: DecodeJob, build_env: Callable[[], dict[str, Any]]
) -> Callable[[], dict[str, Any]]:
    """Return the function that builds the engine of a worker."""

    def setup() -> dict[str, Any]:
        return {"engine": job.build_engine(build_env())}

    return setup


def _decode_units(fields: list[str], batches: list[Batch]) -> Outcome:
    """Run on a worker."""
    engine: DecodeEngine = current_env()["engine"]
    engine.writer.fields = list(fields)
    total = Outcome()
    for outcome in engine.run(batches):
        total.add(outcome)
    for failure in total.failures:
        failure.error = _portable(failure.error)
    return total


def _portable(error: Exception | None) -> Exception | None:
    """Return an error that can travel to the driver, ``None`` if it cannot."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return None
    return error


def _lost(finished: Finished[Batch]) -> Outcome:
    message = (
        f"every worker that took it died, the last was {finished.worker}; "
        "did it run out of memory? the workers' logs may tell"
    )
    indices = [index for batch in finished.units for index in batch.indices]
    failures = [Failure(index=i, kind="worker_died", message=message) for i in indices]
    return Outcome(failures=failures, audio_seconds=None)
