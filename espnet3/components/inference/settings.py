"""How a test set is worked through: the ``execution`` section of inference.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from espnet3.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class BatchingSettings:
    """``execution.batching``: which samples go into one call of the model."""

    mode: Literal["single", "fixed", "dynamic"] | None = None
    """``single``: one sample, not in a list; ``fixed``: ``batch_size`` samples in the order of the
    data set; ``dynamic``: samples of similar length, longest first. Null is ``fixed`` with a
    ``batch_size`` and ``single`` without."""
    max_cost: float | None = None
    """For ``dynamic``: most that the longest sample times the size of the batch may be, in units of
    the lengths (audio samples as a rule). Null is 20 times the longest sample of the test set."""
    max_batch_size: int = 256
    """For ``dynamic``: most samples in a batch."""

    def __post_init__(self) -> None:
        if self.max_cost is not None and self.max_cost <= 0:
            raise SettingError("must be positive", key="max_cost", value=self.max_cost)
        if self.max_batch_size < 1:
            raise SettingError("must be 1 or more", key="max_batch_size", value=self.max_batch_size)


@dataclass(frozen=True, kw_only=True)
class PrefetchSettings:
    """``execution.prefetch``: reading samples while the model works."""

    num_workers: int = 1
    """Threads that read samples; with more than 1 the data set must allow that. 0 turns it off."""
    depth: int = 4
    """Batches that are ready ahead of the model, and results that wait to be written."""

    def __post_init__(self) -> None:
        if self.num_workers < 0:
            raise SettingError("must not be negative", key="num_workers", value=self.num_workers)
        if self.depth < 1:
            raise SettingError("must be 1 or more", key="depth", value=self.depth)


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings:
    """The ``execution`` section."""

    batching: BatchingSettings = field(default_factory=BatchingSettings)
    """Which samples go into one call of the model."""
    prefetch: PrefetchSettings = field(default_factory=PrefetchSettings)
    """Reading ahead and writing behind."""
    on_error: Literal["raise", "record"] = "raise"
    """What a sample that fails does: end the stage, or be listed in the report."""
    max_failures: int | float | None = None
    """With ``record``: how many samples (or which part, below 1) may fail before the stage does;
    null is one in a hundred."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of autocast around the model."""
    seed: int | None = 0
    """Seed of the random numbers; each sample has its own from it. Null sets none."""
    keep_journal: bool = False
    """Keep the record of finished samples after the run."""

    def __post_init__(self) -> None:
        if self.max_failures is not None and self.max_failures < 0:
            raise SettingError("must not be negative", key="max_failures", value=self.max_failures)

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
