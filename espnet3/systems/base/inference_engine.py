"""Decode batches in one process: read ahead, call the model, isolate failures, write behind."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet3.components.inference.background import map_ahead
from espnet3.components.inference.batching import (
    Batch,
    CostLimit,
    is_out_of_memory,
    release_memory,
)
from espnet3.components.inference.capacity import find_capacity, memory_of
from espnet3.components.inference.groups import Group, Groups
from espnet3.components.inference.model_mode import ModelMode
from espnet3.components.inference.random_state import set_seed
from espnet3.components.inference.records import as_names, load_output_fn
from espnet3.components.inference.settings import ExecutionSettings
from espnet3.components.inference.time_limit import TimeLimit
from espnet3.components.inference.usage import ProcessState
from espnet3.errors import ConfigError, InferenceError
from espnet3.parallel.worker_env import EnvSelector
from espnet3.systems.base.inference_outcome import Failure, Outcome
from espnet3.systems.base.inference_progress import AudioMeter
from espnet3.systems.base.inference_remarks import Remarks, SplitBatches
from espnet3.systems.base.inference_samples import ReadAhead
from espnet3.systems.base.inference_writer import RecordWriter
from espnet3.utils.stop_signals import StageInterrupted, received_signal

logger = logging.getLogger(__name__)


class _Decoded(NamedTuple):
    results: list[tuple[int, Any]]
    outcome: Outcome


class DecodeEngine:
    """Turn batches of a test set into written samples.

    Args:
        forward: ``forward`` of a runner.
        env: What the provider has built, with ``dataset`` and ``model``.
        writer: Makes lines and files of records.
        settings: The ``execution`` section.
        sample_rate: Samples per second of the audio, where samples do not say it.
        build_on_cpu: Builds the model again, on the CPU, for ``oom.cpu_fallback``.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        env: Mapping[str, Any],
        *,
        writer: RecordWriter,
        settings: ExecutionSettings,
        sample_rate: float | None = None,
        build_on_cpu: Callable[[], Any] | None = None,
    ) -> None:
        self._writer = writer
        self._forward = forward
        self._settings = settings
        self._sample_rate = sample_rate
        self._build_on_cpu = build_on_cpu
        self._keys = as_names(env.get("input_key"))
        self._mode = ModelMode(env.get("model"), settings)
        pinned = self._keys if settings.prefetch.pins(self._mode.device) else []
        self._dataset = ReadAhead(
            env.get("dataset"), pinned, num_processes=settings.prefetch.num_processes
        )
        given = {**env, "dataset": self._dataset}
        if given.get("output_fn_path") and given.get("output_fn") is None:
            # Once per process; importing by name takes longer than a small model.
            given["output_fn"] = load_output_fn(given["output_fn_path"])
        self._env = EnvSelector(forward)(given, 1, {})
        self._cpu_env: dict[str, Any] | None = None
        self._limit = CostLimit()
        self._time_limit = TimeLimit(settings.batch_timeout)

    @property
    def samples(self) -> ReadAhead:
        """The samples that are in memory already."""
        return self._dataset

    def run_into(
        self, folder: Path, fields: Sequence[str], batches: Iterable[Batch]
    ) -> Generator[Outcome, None, None]:
        """Yield what came of the batches, in order, the results on disk.

        With ``on_error: raise``, an outcome with a failure is the last. After a signal to stop, no
        further batch is decoded.

        Args:
            folder: Where files are written.
            fields: Output fields; empty if the first record decides.
            batches: Work.
        """
        self._writer.folder, self._writer.fields = folder, list(fields)
        ahead, groups = self._settings.prefetch, Groups(batches)
        loaded = map_ahead(
            self._load, groups, num_threads=ahead.num_workers, depth=ahead.depth, count=len
        )
        # One thread, so that results reach the disk in order.
        written = map_ahead(
            self._write,
            self._decode_groups(loaded, groups),
            num_threads=min(1, ahead.num_workers),
            depth=ahead.depth,
            count=lambda decoded: len(decoded.results) or 1,
        )
        with contextlib.closing(loaded), contextlib.closing(written):
            for outcome in written:
                yield outcome
                if self._is_over(outcome):
                    return

    def find_capacity(self, index: int, most: int) -> int | None:
        """Return how many samples like one fit into one call of the model.

        ``None`` if the memory of the device cannot be measured, or the model cannot be called.
        """
        memory = memory_of(self._mode.device)
        if memory is None:
            return None
        was_ready = bool(self._dataset.peek([index]))
        self._read([index])
        try:
            with self._mode():
                return find_capacity(
                    lambda size: self._call(Batch((index,) * size), self._env), memory, most=most
                )
        except Exception as error:
            # Decoding tells in full which sample it is, and what its traceback is.
            logger.warning("The size of batches could not be tried out: %s", error)
            return None
        finally:
            if not was_ready:
                self._dataset.forget([index])

    def _is_over(self, outcome: Outcome) -> bool:
        return bool(outcome.failures) and self._settings.on_error == "raise"

    def _load(self, group: Group) -> Group:
        started = time.perf_counter()
        for batch in group.batches:
            self._read(batch.indices)
        group.seconds += time.perf_counter() - started
        return group

    def _read(self, indices: Sequence[int]) -> None:
        with self._time_limit():
            self._dataset.load(indices)

    def _decode_groups(self, loaded: Iterable[Group], groups: Groups) -> Iterator[_Decoded]:
        for group in loaded:
            if received_signal() is not None:
                return
            started = time.perf_counter()
            decoded = self._decode_group(group)
            seconds = time.perf_counter() - started
            group.seconds += seconds
            groups.record(group)
            decoded.outcome.compute_seconds = seconds
            decoded.outcome.process = ProcessState.of(self._mode.place, self._limit.limit)
            yield decoded

    def _decode_group(self, group: Group) -> _Decoded:
        decoded = _Decoded([], Outcome())
        meter = AudioMeter(self._sample_rate)
        with self._mode():
            for batch in group.batches:
                if meter.seconds is not None:
                    for sample in self._dataset.peek(batch.indices):
                        meter.add(sample, self._keys)
                for part in self._limit.fit(batch):
                    self._decode(part, decoded)
                self._dataset.forget(batch.indices)
                if self._is_over(decoded.outcome):
                    break
        decoded.outcome.audio_seconds = meter.seconds
        decoded.outcome.cost = sum(batch.cost for batch in group.batches)
        return decoded

    def _decode(self, batch: Batch, decoded: _Decoded, *, is_part: bool = False) -> None:
        """Decode a batch, or a part of one; what fails is taken apart, to find the culprit."""
        outcome, split = decoded.outcome, decoded.outcome.remarks.split
        if self._is_over(outcome):
            return
        is_oom, parts = False, self._take_apart(batch)
        try:
            decoded.results.extend(self._call(batch, self._env))
        except Exception as error:
            is_oom = is_out_of_memory(error)
            if is_oom and not self._settings.oom.backoff:
                parts = []
            if not parts and not (is_oom and self._build_on_cpu):
                self._fail(batch, error, outcome, kind="oom" if is_oom else "exception")
            elif parts:
                logger.info("A batch of %d samples failed: %s", len(batch.indices), error)
                is_part = is_part or self._counts_as_split(batch, error, split)
        else:
            self._limit.fitted()
            split.note_success(len(batch.indices), is_part=is_part)
            return
        # Outside the handler, so that the error no longer holds the batch in memory.
        if is_oom:
            release_memory()
            self._limit.failed(batch)
            outcome.oom_events.append({"samples": len(batch.indices), "cost": batch.cost})
            if not parts and self._build_on_cpu:
                self._decode_on_cpu(batch, decoded, self._build_on_cpu)
        for part in parts:
            outcome.retried.update(part.indices)
            self._decode(part, decoded, is_part=is_part)

    def _counts_as_split(self, batch: Batch, error: Exception, split: SplitBatches) -> bool:
        """Count a batch that failed, unless memory or a sample that cannot be read is why."""
        if is_out_of_memory(error) or self._dataset.unread(batch.indices):
            return False
        split.note_failure(error)
        return True

    def _take_apart(self, batch: Batch) -> Sequence[Batch]:
        """Return what to try if a batch fails: without what cannot be read, else its halves."""
        if len(batch.indices) == 1:
            return []
        unread = self._dataset.unread(batch.indices)
        return batch.without(unread) if unread else batch.halves()

    def _decode_on_cpu(self, batch: Batch, decoded: _Decoded, build: Callable[[], Any]) -> None:
        if self._cpu_env is None:
            self._cpu_env = {**self._env, "model": build()}
        try:
            decoded.results.extend(self._call(batch, self._cpu_env))
        except Exception as error:
            self._fail(batch, error, decoded.outcome, kind="oom")

    def _call(self, batch: Batch, env: Mapping[str, Any]) -> list[tuple[int, Any]]:
        indices = list(batch.indices)
        if self._settings.seed is not None:
            set_seed(self._settings.seed, indices[0])
        item = indices if batch.is_list else indices[0]
        with self._time_limit():
            try:
                output = self._forward(item, **env)
            except SystemExit as error:
                if _ends_stage(error):
                    raise
                raise InferenceError(
                    f"the model or what it calls left the program: {error!r}"
                ) from error
            except Exception as error:
                if not self._mode.gives_up_compiling(error):
                    raise
                output = self._forward(item, **env)
        if not batch.is_list:
            return [(indices[0], output)]
        if not isinstance(output, list) or len(output) != len(indices):
            raise InferenceError(
                f"Batched inference failed: {len(indices)} samples need a list of as many dicts"
            )
        return list(zip(indices, output, strict=True))

    def _write(self, decoded: _Decoded) -> Outcome:
        results, outcome = decoded
        write, samples = self._writer.write, outcome.samples
        for index, output in results:
            try:
                with self._time_limit():
                    samples.append(write(index, output if isinstance(output, list) else [output]))
            except (OSError, ConfigError):
                # A full disk is not the fault of one sample.
                raise
            except Exception as error:
                self._fail(Batch((index,)), error, outcome)
        outcome.fields = self._writer.fields
        if self._writer.artifact_fields:
            outcome.artifact_fields = set(self._writer.artifact_fields)
        outcome.remarks.add(self._writer.remarks)
        self._writer.remarks = Remarks()
        return outcome

    def _fail(
        self, batch: Batch, error: Exception, outcome: Outcome, kind: str = "exception"
    ) -> None:
        for index in batch.indices:
            name = self._dataset.name(index, self._writer.idx_key)
            failure = Failure.of(error, index, kind=kind, sample_id=name, device=self._mode.device)
            outcome.failures.append(failure)


def _ends_stage(error: SystemExit) -> bool:
    """Tell whether a signal has ended the program; else code of the user wants to leave it."""
    return isinstance(error, StageInterrupted) or isinstance(error.__context__, KeyboardInterrupt)
