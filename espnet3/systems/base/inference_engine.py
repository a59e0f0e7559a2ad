"""Decode batches in one process: read ahead, call the model, isolate failures, write behind."""

from __future__ import annotations

import contextlib
import logging
import random
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from espnet3.components.inference.background import map_ahead
from espnet3.components.inference.batching import (
    Batch,
    CostLimit,
    is_out_of_memory,
    release_memory,
)
from espnet3.components.inference.records import as_names, load_output_fn
from espnet3.components.inference.settings import ExecutionSettings
from espnet3.errors import ConfigError, InferenceError
from espnet3.parallel.worker_env import EnvSelector
from espnet3.systems.base.inference_progress import AudioMeter
from espnet3.systems.base.inference_writer import RecordWriter, WrittenSample

logger = logging.getLogger(__name__)

_ABSENT: Any = object()


@dataclass
class Failure:
    """A sample that has no result."""

    index: int
    kind: str
    """``exception``, ``oom`` or ``worker_died``."""
    message: str
    sample_id: str | None = None
    traceback: str = ""
    error: Exception | None = None
    """What was raised, as far as it can travel between processes."""
    worker: str | None = None
    """Name of the worker; ``None`` for the driver."""

    def as_error(self) -> Exception:
        """Return what to raise, with the place where it happened in its notes."""
        error = self.error or InferenceError(self.message)
        name = f"sample {self.sample_id!r}, " if self.sample_id else ""
        place = f" on worker {self.worker}" if self.worker is not None else ""
        error.add_note(f"while decoding {name}item {self.index} of the test set{place}")
        if error.__traceback__ is None and self.traceback:
            error.add_note(self.traceback.rstrip())
        return error


@dataclass
class Outcome:
    """What came of one or more batches."""

    samples: list[WrittenSample] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    audio_seconds: float | None = 0.0
    """Audio that the model was given; ``None`` if unknown."""
    num_oom: int = 0
    """Batches that did not fit into memory."""
    fields: list[str] = field(default_factory=list)
    """Output fields, once known."""
    artifact_fields: set[str] = field(default_factory=set)
    num_joined: int = 0
    """Values with line breaks."""

    def add(self, other: Outcome) -> None:
        """Take over everything from another one."""
        self.samples += other.samples
        self.failures += other.failures
        known = self.audio_seconds is not None and other.audio_seconds is not None
        self.audio_seconds = self.audio_seconds + other.audio_seconds if known else None  # type: ignore[operator]
        self.num_oom += other.num_oom
        self.fields = self.fields or other.fields
        self.artifact_fields |= other.artifact_fields
        self.num_joined += other.num_joined


class DecodeEngine:
    """Turn batches of a test set into written samples.

    Args:
        forward: ``forward`` of a runner.
        env: What the provider has built, with ``dataset`` and ``model``.
        writer: Makes lines and files of records.
        settings: The ``execution`` section.
        sample_rate: Samples per second of the audio, where samples do not say it.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        env: Mapping[str, Any],
        *,
        writer: RecordWriter,
        settings: ExecutionSettings,
        sample_rate: float | None = None,
    ) -> None:
        self.writer = writer
        self._forward = forward
        self._settings = settings
        self._sample_rate = sample_rate
        self._keys = as_names(env.get("input_key"))
        self._dataset = _ReadAhead(env.get("dataset"))
        given = {**env, "dataset": self._dataset}
        if given.get("output_fn_path") and given.get("output_fn") is None:
            # Once per process; importing by name takes longer than a small model.
            given["output_fn"] = load_output_fn(given["output_fn_path"])
        self._env = EnvSelector(forward)(given, 1, {})
        self._limit = CostLimit()
        self._context = _model_context(settings.precision, env.get("model"))

    def run(self, batches: Iterable[Batch]) -> Generator[Outcome, None, None]:
        """Yield the outcome of every batch, in order, the results on disk.

        With ``on_error: raise``, an outcome with a failure is the last.
        """
        ahead = self._settings.prefetch
        loaded = map_ahead(self._load, batches, num_threads=ahead.num_workers, depth=ahead.depth)
        decoded = (self._decode_batch(batch) for batch in loaded)
        # One thread, so that results reach the disk in order.
        written = map_ahead(
            self._write, decoded, num_threads=min(1, ahead.num_workers), depth=ahead.depth
        )
        with contextlib.closing(loaded), contextlib.closing(written):
            for outcome in written:
                yield outcome
                if outcome.failures and self._settings.on_error == "raise":
                    return

    def _load(self, batch: Batch) -> Batch:
        self._dataset.load(batch.indices)
        return batch

    def _decode_batch(self, batch: Batch) -> tuple[list[tuple[int, Any]], Outcome]:
        outcome = Outcome()
        meter = AudioMeter(self._sample_rate)
        for sample in self._dataset.peek(batch.indices):
            meter.add(sample, self._keys)
        outcome.audio_seconds = meter.seconds
        results: list[tuple[int, Any]] = []
        for part in self._limit.fit(batch):
            results += self._decode(part, outcome)
            if outcome.failures and self._settings.on_error == "raise":
                break
        self._dataset.forget(batch.indices)
        return results, outcome

    def _decode(self, batch: Batch, outcome: Outcome) -> list[tuple[int, Any]]:
        """Return the result of each sample; what fails is halved until the culprit is alone."""
        try:
            results = self._call(batch)
        except Exception as error:
            kind = "exception"
            if is_out_of_memory(error):
                kind = "oom"
                self._limit.failed(batch)
                outcome.num_oom += 1
            if len(batch.indices) == 1:
                outcome.failures.append(self._describe(batch.indices[0], kind, error))
                return []
            logger.info("A batch of %d samples failed (%s); halved", len(batch.indices), kind)
        else:
            self._limit.fitted()
            return results
        # Outside the handler, so that the error no longer holds the batch in memory.
        if kind == "oom":
            release_memory()
        left, right = batch.halves()
        results = self._decode(left, outcome)
        if outcome.failures and self._settings.on_error == "raise":
            return results
        return results + self._decode(right, outcome)

    def _call(self, batch: Batch) -> list[tuple[int, Any]]:
        if self._settings.seed is not None:
            set_seed(self._settings.seed, batch.indices[0])
        indices = list(batch.indices)
        with self._context():
            output = self._forward(indices if batch.is_list else indices[0], **self._env)
        if not batch.is_list:
            return [(indices[0], output)]
        if not isinstance(output, list) or len(output) != len(indices):
            raise InferenceError(
                f"Batched inference failed: {len(indices)} samples need a list of as many dicts"
            )
        return list(zip(indices, output, strict=True))

    def _write(self, decoded: tuple[list[tuple[int, Any]], Outcome]) -> Outcome:
        results, outcome = decoded
        for index, output in results:
            try:
                outcome.samples.append(
                    self.writer.write(index, output if isinstance(output, list) else [output])
                )
            except (OSError, ConfigError):
                # A full disk is not the fault of one sample.
                raise
            except Exception as error:
                outcome.failures.append(self._describe(index, "exception", error))
        outcome.fields = self.writer.fields
        if self.writer.artifact_fields:
            outcome.artifact_fields = set(self.writer.artifact_fields)
        outcome.num_joined, self.writer.num_joined = self.writer.num_joined, 0
        return outcome

    def _describe(self, index: int, kind: str, error: Exception) -> Failure:
        return Failure(
            index=index,
            kind=kind,
            message=f"{type(error).__name__}: {error}",
            sample_id=self._dataset.name(index, self.writer.idx_key),
            traceback="".join(traceback.format_exception(error)),
            error=error,
        )


class _ReadAhead:
    """A data set whose next samples are in memory already."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        # Filled in one thread and read in another; each access is one step of the interpreter.
        self._ready: dict[int, Any] = {}

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int):
            found = self._ready.get(index, _ABSENT)
            if found is not _ABSENT:
                return found
        return self._dataset[index]

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def load(self, indices: Iterable[int]) -> None:
        """Read samples; the error of one that cannot be read comes when it is used."""
        for index in indices:
            # A suppress block is slower than a data set in memory.
            try:
                self._ready[index] = self._dataset[index]
            except Exception:  # noqa: S112
                continue

    def peek(self, indices: Iterable[int]) -> list[Any]:
        """Return those samples that were read and are mappings."""
        found = [self._ready.get(index) for index in indices]
        return [sample for sample in found if isinstance(sample, Mapping)]

    def forget(self, indices: Iterable[int]) -> None:
        """Free the memory of samples."""
        for index in indices:
            self._ready.pop(index, None)

    def name(self, index: int, key: str) -> str | None:
        """Return the id of a sample, if it can be read and has one."""
        with contextlib.suppress(Exception):
            return str(self[index][key])
        return None


def set_seed(seed: int, index: int) -> None:
    """Start the random numbers of one sample, which then depend on nothing else."""
    value = (seed * 0x9E3779B1 + index * 0x85EBCA6B + 1) & 0xFFFFFFFF
    random.seed(value)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(value)
    if torch is not None:
        # Without a GPU, torch.manual_seed records a traceback, which takes a millisecond.
        torch.default_generator.manual_seed(value)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(value)


@contextlib.contextmanager
def preserve_random_state() -> Iterator[None]:
    """Leave the random numbers of this process as they were before the block."""
    state = random.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    torch_state = torch.get_rng_state() if torch is not None else None
    try:
        yield
    finally:
        random.setstate(state)
        if numpy is not None and numpy_state is not None:
            numpy.random.set_state(numpy_state)
        if torch is not None and torch_state is not None:
            torch.set_rng_state(torch_state)


def _model_context(
    precision: str, model: Any
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    if precision == "fp32":
        return contextlib.nullcontext
    import torch

    device = torch.device(getattr(model, "device", None) or "cpu").type
    if precision == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("this device cannot do it", key="execution.precision", value=precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return lambda: torch.autocast(device, dtype)
