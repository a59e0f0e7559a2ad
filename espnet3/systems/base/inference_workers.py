"""Decode the batches of a test set here or on workers, with one outcome after the other."""

from __future__ import annotations

import contextlib
import functools
import itertools
import uuid
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from omegaconf import OmegaConf

from espnet3.components.inference.batching import Batch
from espnet3.components.inference.random_state import preserve_random_state
from espnet3.components.inference.settings import ExecutionSettings
from espnet3.errors import SettingError
from espnet3.parallel.backlog import Backlog
from espnet3.parallel.clients import close_client, register_env
from espnet3.parallel.parallel import (
    build_client,
    get_parallel_config,
    read_settings,
)
from espnet3.parallel.restarts import Restarts
from espnet3.parallel.work_pieces import Finished
from espnet3.parallel.work_pool import WorkPool
from espnet3.parallel.worker_env import build_local_env
from espnet3.systems.base.inference_engine import DecodeEngine
from espnet3.systems.base.inference_job import DecodeJob, decode_units, find_capacity, make_setup
from espnet3.systems.base.inference_outcome import Failure, Outcome
from espnet3.systems.base.inference_samples import ReadAhead
from espnet3.systems.base.inference_windows import WindowReader
from espnet3.systems.base.kept_model import keep_model
from espnet3.utils.config_utils import to_plain
from espnet3.utils.stop_signals import end_if_asked, received_signal

if TYPE_CHECKING:
    from distributed import Client


class Workforce:
    """The processes that decode: this one, or workers that stay for all test sets.

    Example:
        >>> with Workforce() as workforce:
        ...     workforce.num_workers
        1
    """

    def __init__(self, settings: ExecutionSettings | None = None) -> None:
        self._parallel = read_settings()
        self._per_device = settings.workers_per_device if settings else 1
        self._check(settings or ExecutionSettings())
        self._client: Client | None = None
        self._job: DecodeJob | None = None
        self._engine: DecodeEngine | None = None
        self._restarts: Restarts | None = None
        self._stage = uuid.uuid4().hex

    def __enter__(self) -> Self:
        keep_model(self._stage)
        return self

    def __exit__(self, *exception: object) -> None:
        keep_model(None)
        self._drop_engine()
        if self._client is not None:
            close_client(self._client)

    @property
    def num_workers(self) -> int:
        """Processes that decode."""
        return self._parallel.num_workers * self._per_device

    @property
    def deaths(self) -> int:
        """Workers that died with work of the last test set."""
        return 0 if self._restarts is None else self._restarts.total

    def _check(self, settings: ExecutionSettings) -> None:
        if settings.workers_per_device > 1 and self._parallel.backend != "local_gpu":
            raise SettingError(
                "needs `parallel.env: local_gpu`; elsewhere `parallel.n_workers` is enough",
                key="execution.workers_per_device",
                value=settings.workers_per_device,
            )
        if settings.batch_timeout is not None and self._parallel.is_in_process:
            raise SettingError(
                "needs workers (`parallel.n_workers`), which can be replaced",
                key="execution.batch_timeout",
                value=settings.batch_timeout,
            )

    def _connect(self) -> Client:
        if self._per_device == 1:
            return build_client()
        config = to_plain(get_parallel_config()) or {}
        options = {**(config.get("options") or {}), "workers_per_device": self._per_device}
        return build_client(OmegaConf.create({**config, "options": options}))

    def decode(
        self,
        job: DecodeJob,
        provider: Any,
        portions: Iterable[list[Batch]],
        fields: Sequence[str],
        folder: Path | None = None,
    ) -> Generator[Outcome, None, None]:
        """Yield outcomes until all batches are through.

        Args:
            job: What to do.
            provider: Builds the environment, here or on the workers.
            portions: Work, in the order in which it is handed out.
            fields: Output fields, if they are known already.
            folder: Where files are written, if not in that of the test set.
        """
        folder = folder or job.folder
        if self._parallel.is_in_process:
            return self._decode_here(job, provider, portions, fields, folder)
        return self._decode_on_workers(job, provider, portions, list(fields), folder)

    def find_capacity(self, job: DecodeJob, provider: Any, index: int) -> int | None:
        """Return how many samples like one fit into a call of the model, ``None`` if unknown."""
        most = job.settings.batching.max_batch_size
        if self._parallel.is_in_process:
            with preserve_random_state():
                return self._engine_here(job, provider).find_capacity(index, most)
        self._equip(job, provider)
        for found in self._pool(job).run(find_capacity, Backlog([(index, most)], num_workers=1)):
            return None if found.is_lost else found.value
        # Nothing is handed out after a signal; a guess would be kept for the next run.
        end_if_asked()
        return None

    def open_reader(self, job: DecodeJob, provider: Any, dataset: Any, key: str) -> WindowReader:
        """Return what reads samples in this process, to tell the length of a field.

        They stay in memory if it is this process that decodes.

        Args:
            job: What to do.
            provider: Builds the environment.
            dataset: Where samples are read if workers decode.
            key: Field whose length counts.
        """
        is_here, ahead = self._parallel.is_in_process, job.settings.prefetch
        if is_here:
            samples = self._engine_here(job, provider).samples
        else:
            samples = ReadAhead(dataset, num_processes=ahead.num_processes)
        return WindowReader(
            samples,
            key=key,
            size=job.settings.batching.window,
            keeps=is_here,
            num_threads=ahead.num_workers,
        )

    def _engine_here(self, job: DecodeJob, provider: Any) -> DecodeEngine:
        if self._engine is None or self._job is not job:
            # Its model may be too large to stay beside another one.
            self._drop_engine()
            env = build_local_env(provider)
            self._engine = job.build_engine(env, job.cpu_builder(provider, provider))
            self._job = job
        return self._engine

    def _decode_here(
        self,
        job: DecodeJob,
        provider: Any,
        portions: Iterable[list[Batch]],
        fields: Sequence[str],
        folder: Path,
    ) -> Generator[Outcome, None, None]:
        batches = itertools.chain.from_iterable(portions)
        with preserve_random_state():
            yield from self._engine_here(job, provider).run_into(folder, fields, batches)

    def _drop_engine(self) -> None:
        if self._engine is not None:
            self._engine.samples.close()
        self._engine = None

    def _equip(self, job: DecodeJob, provider: Any) -> None:
        """Tell the workers what to build; an equal job leaves what they have built."""
        if self._client is None:
            self._client = self._connect()
        if self._job is not job:
            self._restarts = WorkPool.count_restarts(
                self._client, self.num_workers, job.settings.retries
            )
            on_cpu = job.cpu_builder(provider, type(provider))
            build_env = provider.build_worker_setup_fn()
            register_env(self._client, make_setup(job, build_env, on_cpu, stage=self._stage))
            self._job = job

    def _decode_on_workers(
        self,
        job: DecodeJob,
        provider: Any,
        portions: Iterable[list[Batch]],
        fields: list[str],
        folder: Path,
    ) -> Generator[Outcome, None, None]:
        self._equip(job, provider)
        more = iter(portions)
        batches = next(more, None)
        # The first record says which fields there are, so the first batch goes alone.
        while not fields and batches is not None:
            for outcome in self._pull(job, batches[:1], fields, folder):
                fields = fields or outcome.fields
                yield outcome
            batches = batches[1:] or next(more, None)
        yield from self._pull(job, batches or [], fields, folder, more)

    def _pull(
        self,
        job: DecodeJob,
        batches: Sequence[Batch],
        fields: list[str],
        folder: Path,
        more: Iterable[list[Batch]] = (),
    ) -> Generator[Outcome, None, None]:
        pool = self._pool(job, split=Batch.singles)
        work = functools.partial(decode_units, list(fields), folder)
        backlog = Backlog(batches, num_workers=self.num_workers, more=more)
        with contextlib.closing(pool.run(work, backlog)) as done:
            for finished in done:
                outcome = _lost(finished) if finished.is_lost else finished.value
                outcome.worker = finished.worker
                if finished.is_retried:
                    outcome.retried.update(i for batch in finished.units for i in batch.indices)
                for failure in outcome.failures:
                    failure.worker = finished.worker
                yield outcome

    def _pool(self, job: DecodeJob, **options: Any) -> WorkPool[Any]:
        return WorkPool(
            self._client,
            num_workers=self.num_workers,
            start_timeout=self._parallel.start_timeout,
            retries=job.settings.retries,
            must_stop=lambda: received_signal() is not None,
            restarts=self._restarts,
            **options,
        )


def _lost(finished: Finished[Batch]) -> Outcome:
    message = (
        f"every worker that took it died, the last was {finished.worker}{finished.cause}; "
        "did it run out of memory, or of `execution.batch_timeout`? the workers' logs may tell"
    )
    indices = [index for batch in finished.units for index in batch.indices]
    failures = [Failure(index=i, kind="worker_died", message=message) for i in indices]
    return Outcome(failures=failures, audio_seconds=None)
