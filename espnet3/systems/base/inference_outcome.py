"""What came of the batches of a test set."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

from espnet3.components.inference.usage import ProcessState
from espnet3.errors import InferenceError
from espnet3.systems.base.inference_remarks import Remarks
from espnet3.systems.base.inference_writer import WrittenSample
from espnet3.utils.redaction import redact_message
from espnet3.utils.types import Seconds


@dataclass
class Failure:
    """A sample that has no result."""

    index: int
    kind: str
    """``exception``, ``oom``, ``worker_died`` or ``duplicate_id``."""
    message: str
    sample_id: str | None = None
    traceback: str = ""
    error: Exception | None = None
    """What was raised, as far as it can travel between processes."""
    worker: str | None = None
    """Name of the worker; ``None`` for the driver."""
    device: str = ""
    """Where the model is."""

    @classmethod
    def of(
        cls, error: Exception, index: int, *, kind: str, sample_id: str | None, device: str
    ) -> Failure:
        """Describe what a sample raised."""
        return cls(
            index=index,
            kind=kind,
            message=f"{type(error).__name__}: {error}",
            sample_id=sample_id,
            traceback="".join(traceback.format_exception(error)),
            error=error,
            device=device,
        )

    def entry(self) -> dict[str, Any]:
        """Return what files say about it, without secrets."""
        return {
            "index": self.index,
            "id": self.sample_id,
            "kind": self.kind,
            "worker": self.worker,
            "device": self.device,
            "error": redact_message(self.message),
            "traceback": redact_message(self.traceback),
        }

    def as_error(self) -> Exception:
        """Return what to raise, with the place where it happened in its notes."""
        error = self.error or InferenceError(self.message)
        name = f"sample {self.sample_id!r}, " if self.sample_id else ""
        place = f" on worker {self.worker}" if self.worker is not None else ""
        place += f" ({self.device})" if self.device else ""
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
    compute_seconds: Seconds = 0.0
    """Time in the model and the output function."""
    oom_events: list[dict[str, Any]] = field(default_factory=list)
    """Number of samples and cost of each batch that did not fit into memory."""
    retried: set[int] = field(default_factory=set)
    """Samples that were tried again, alone or in a smaller batch or by another worker."""
    fields: list[str] = field(default_factory=list)
    """Output fields, once known."""
    artifact_fields: set[str] = field(default_factory=set)
    remarks: Remarks = field(default_factory=Remarks)
    """What is odd without being an error."""
    cost: float = 0.0
    """Sum of the batches' costs."""
    worker: str | None = None
    """Name of the worker; ``None`` for the driver."""
    process: ProcessState | None = None
    """The process, after these batches."""

    def add(self, other: Outcome) -> None:
        """Take over everything from another one."""
        self.samples += other.samples
        self.failures += other.failures
        known = self.audio_seconds is not None and other.audio_seconds is not None
        self.audio_seconds = self.audio_seconds + other.audio_seconds if known else None  # type: ignore[operator]
        self.compute_seconds += other.compute_seconds
        self.oom_events += other.oom_events
        self.retried |= other.retried
        self.fields = self.fields or other.fields
        self.artifact_fields |= other.artifact_fields
        self.remarks.add(other.remarks)
        self.cost += other.cost
        self.process = other.process or self.process
