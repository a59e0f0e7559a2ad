"""How a test set is worked through: the ``execution`` section of inference.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from espnet3.errors import SettingError
from espnet3.utils.types import Hz, Seconds

ProgressStyle: TypeAlias = Literal["auto", "bar", "log", "none"]
"""How progress is shown."""


@dataclass(frozen=True, kw_only=True)
class BatchingSettings:
    """``execution.batching``: which samples go into one call of the model."""

    mode: Literal["single", "fixed", "dynamic"] | None = None
    """``single``: one sample, not in a list; ``fixed``: ``batch_size`` samples in the order of the
    data set; ``dynamic``: samples of similar length, longest first. Null is ``fixed`` with a
    ``batch_size`` and ``single`` without."""
    max_cost: float | None = None
    """For ``dynamic``: most that the longest sample times the size of the batch may be, in units of
    the lengths (audio samples as a rule). Null is what fits into the memory of the GPU, found by
    trial, and on a CPU 20 times the longest sample of the test set."""
    max_batch_size: int = 256
    """For ``dynamic``: most samples in a batch."""
    length_key: str | None = None
    """Field whose length counts, unless the data set tells lengths; null is the first input."""
    window: int = 4096
    """For ``dynamic``, where only reading samples tells their length: how many are read, sorted
    and put into batches at a time. Fewer, if they take half a gigabyte."""

    def __post_init__(self) -> None:
        if self.max_cost is not None and self.max_cost <= 0:
            raise SettingError("must be positive", key="max_cost", value=self.max_cost)
        for name in ("max_batch_size", "window"):
            if getattr(self, name) < 1:
                raise SettingError("must be 1 or more", key=name, value=getattr(self, name))
        for option in fields(self):
            value = getattr(self, option.name)
            if self.mode != "dynamic" and option.name != "mode" and value != option.default:
                raise SettingError(
                    "is read only with `mode: dynamic`",
                    key=option.name,
                    value=value,
                    hint="set execution.batching.mode: dynamic, or remove it",
                )


@dataclass(frozen=True, kw_only=True)
class PrefetchSettings:
    """``execution.prefetch``: reading samples while the model works."""

    num_workers: int = 1
    """Threads or processes that read samples; with more than one thread the data set must allow
    that. 0 turns it off."""
    mode: Literal["thread", "process"] = "thread"
    """What they are: ``process`` is for data sets that compute in Python, which only one thread at
    a time can; each has a copy of the data set, which must allow to be pickled."""
    depth: int = 4
    """Batches that are ready ahead of the model, and results that wait to be written."""
    pin_memory: bool | None = None
    """Put input tensors where a GPU can fetch them without waiting. Null does so with CUDA."""

    def __post_init__(self) -> None:
        if self.num_workers < 0:
            raise SettingError("must not be negative", key="num_workers", value=self.num_workers)
        if self.depth < 1:
            raise SettingError("must be 1 or more", key="depth", value=self.depth)
        if self.mode == "process" and self.num_workers == 0:
            raise SettingError(
                "with 0, nothing is read ahead, and `mode: process` has no effect",
                key="num_workers",
                value=0,
            )

    @property
    def num_processes(self) -> int:
        """Loader processes; 0 if threads read."""
        return self.num_workers if self.mode == "process" else 0

    def pins(self, device: str) -> bool:
        """Tell whether inputs of a model on a device are pinned.

        Raises:
            SettingError: If they must be, but the device cannot fetch them.
        """
        if self.pin_memory and device != "cuda":
            raise SettingError(
                f"the model is on {device}; only CUDA reads pinned memory",
                key="execution.prefetch.pin_memory",
            )
        return device == "cuda" if self.pin_memory is None else self.pin_memory


@dataclass(frozen=True, kw_only=True)
class OomSettings:
    """``execution.oom``: what a batch that does not fit into memory does."""

    backoff: bool = True
    """Halve it, and keep later ones below 80 % of its size; otherwise its samples fail."""
    cpu_fallback: bool = False
    """Decode a sample that does not even fit alone with the model on the CPU."""


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings:
    """The ``execution`` section."""

    batching: BatchingSettings = field(default_factory=BatchingSettings)
    """Which samples go into one call of the model."""
    prefetch: PrefetchSettings = field(default_factory=PrefetchSettings)
    """Reading ahead and writing behind."""
    oom: OomSettings = field(default_factory=OomSettings)
    """Lack of memory."""
    on_error: Literal["raise", "record"] = "raise"
    """What a sample that fails does: end the stage, or be listed in the report."""
    max_failures: int | float | None = None
    """With ``record``: how many samples (or which part, below 1) may fail before the stage does;
    null is one in a hundred."""
    retries: int = 1
    """How often a sample that was alone with a worker when it died may have another one."""
    batch_timeout: Seconds | None = None
    """Time after which a worker that works on one batch is replaced; null waits for ever."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of autocast around the model."""
    compile: bool | dict[str, Any] = False
    """Compile the model's torch modules; a mapping holds arguments of ``torch.compile``."""
    inference_mode: bool = True
    """Call the model under ``torch.inference_mode``; otherwise only without gradients."""
    seed: int | None = 0
    """Seed of the random numbers; each sample has its own from it. Null sets none."""
    workers_per_device: int = 1
    """With ``parallel.env: local_gpu``: processes that share each GPU."""
    cpu_affinity: bool = False
    """Keep each process that uses a GPU on the cores next to it."""
    sample_rate: Hz | None = None
    """Rate of the audio, for the real-time factor, where data set and samples do not say it."""
    allow_none: bool = False
    """Write an output that is ``None`` as an empty text."""
    limit: int | None = None
    """Decode only so many samples from the front of each test set."""
    dry_run: bool = False
    """Decode one sample of each test set (or one batch, or ``limit``), show what comes out, write
    nothing."""
    verify: int = 0
    """How many samples are decoded a second time, alone, and compared."""
    progress: ProgressStyle = "auto"
    """A bar, lines in the log or nothing; ``auto`` is a bar on a terminal and else lines. The
    environment variable ``ESPNET3_PROGRESS`` is stronger."""
    keep_journal: bool = False
    """Keep the record of finished samples after the run."""

    def __post_init__(self) -> None:
        self._check_max_failures()
        for name in ("max_failures", "retries", "verify"):
            if (getattr(self, name) or 0) < 0:
                raise SettingError("must not be negative", key=name, value=getattr(self, name))
        for name in ("batch_timeout", "sample_rate", "limit", "workers_per_device"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise SettingError("must be positive", key=name, value=value)

    def _check_max_failures(self) -> None:
        most = self.max_failures
        if most and self.on_error == "raise":
            hint = "set execution.on_error to record, or remove it"
            raise SettingError(
                "is read only where failures are recorded",
                key="max_failures",
                value=most,
                hint=hint,
            )
        if isinstance(most, float) and most >= 1:
            hint = "0.01 means one in a hundred"
            raise SettingError(
                "must be a whole number, or a part below 1",
                key="max_failures",
                value=most,
                hint=hint,
            )

    def allows_failures(self, failed: int, total: int) -> bool:
        """Tell whether so many failures are no reason to stop."""
        if self.on_error == "raise":
            return failed == 0
        limit = 0.01 if self.max_failures is None else self.max_failures
        return failed <= (limit * total if isinstance(limit, float) and limit < 1 else limit)


def choose_mode(settings: BatchingSettings, batch_size: int | None) -> str:
    """Return how samples are batched.

    Raises:
        SettingError: If mode and ``batch_size`` do not fit together.
    """
    mode = settings.mode or ("fixed" if batch_size else "single")
    if mode == "fixed" and not batch_size:
        raise SettingError("needs `batch_size`", key="execution.batching.mode", value=mode)
    if mode != "fixed" and batch_size:
        raise SettingError(
            f"contradicts execution.batching.mode: {mode}", key="batch_size", value=batch_size
        )
    return mode
