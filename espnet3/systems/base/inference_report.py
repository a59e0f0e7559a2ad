"""What happened while a test set was decoded: ``inference_report.json``."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import logging
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import espnet3
from espnet3.systems.base.inference_outcome import Failure, Outcome
from espnet3.systems.base.inference_remarks import SplitBatches
from espnet3.utils.fingerprint import fingerprint
from espnet3.utils.path_utils import write_json
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)

REPORT_FILE = "inference_report.json"
_SHOWN = 5
_DRIVER = "driver"
"""How the process of the stage is called where it decodes itself."""


@dataclasses.dataclass
class WorkerReport:
    """What one worker did; one that died and its successor have the same name."""

    samples: int = 0
    """Samples that it has decoded."""
    failed: int = 0
    compute_seconds: Seconds = 0.0
    """Time in the model and the output function."""
    batches_out_of_memory: int = 0
    device: str | None = None
    device_name: str | None = None
    peak_memory_bytes: int | None = None
    """Most main memory of the process, with the model."""
    peak_device_memory_bytes: int | None = None
    """Most memory of the GPU that its tensors took."""
    max_cost: float | None = None
    """Limit of batches that it has learnt from a lack of memory."""

    def add(self, outcome: Outcome, num_new: int) -> None:
        """Count the outcome of some batches, with so many new samples."""
        self.samples += num_new
        self.failed += len(outcome.failures)
        self.compute_seconds = round(self.compute_seconds + outcome.compute_seconds, 6)
        self.batches_out_of_memory += len(outcome.oom_events)
        state = outcome.process
        if state is None:
            return
        self.device, self.device_name = state.device, state.device_name
        self.max_cost = state.max_cost
        self.peak_memory_bytes = max(self.peak_memory_bytes or 0, state.peak_memory)
        if state.peak_device_memory is not None:
            earlier = self.peak_device_memory_bytes or 0
            self.peak_device_memory_bytes = max(earlier, state.peak_device_memory)


@dataclasses.dataclass
class InferenceReport:
    """Counts of one run over one test set."""

    test_set: str
    num_samples: int
    num_resumed: int = 0
    """Samples that an earlier, interrupted run had finished."""
    num_done: int = 0
    """Samples with a result."""
    seconds: Seconds = 0.0
    """Time that this run took."""
    audio_seconds: Seconds | None = 0.0
    """Audio decoded by this run."""
    num_workers: int = 1
    worker_deaths: int = 0
    batching: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Mode and limits of batches."""
    padding_waste: float | None = None
    """Part of the batches that was padding, where lengths are known."""
    max_cost: float | None = None
    """Limit of ``dynamic`` batches, given or found by trial."""
    oom_events: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Worker, number of samples and cost of each batch that did not fit into memory."""
    workers: dict[str, WorkerReport] = dataclasses.field(default_factory=dict)
    """What each worker did, or ``driver``."""
    split_batches: SplitBatches = dataclasses.field(default_factory=SplitBatches)
    """Batches that were taken apart, though not for a lack of memory."""
    verified: dict[str, Any] | None = None
    """What ``execution.verify`` has found."""
    parts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Digests of what the outputs depend on."""
    failures: list[Failure] = dataclasses.field(default_factory=list)
    retried: set[int] = dataclasses.field(default_factory=set)
    """Samples that were tried again."""

    def add(self, outcome: Outcome, num_new: int) -> None:
        """Count the outcome of some batches, with so many new samples."""
        name = _DRIVER if outcome.worker is None else outcome.worker
        self.workers.setdefault(name, WorkerReport()).add(outcome, num_new)
        self.failures += outcome.failures
        self.retried |= outcome.retried
        self.split_batches.add(outcome.remarks.split)
        self.oom_events += [{"worker": name, **event} for event in outcome.oom_events]
        if self.audio_seconds is not None and outcome.audio_seconds is not None:
            self.audio_seconds += outcome.audio_seconds
        else:
            self.audio_seconds = None

    def content(self) -> dict[str, Any]:
        """Return what is written."""
        shown = (f.name for f in dataclasses.fields(self) if f.name not in ("retried", "failures"))
        rtf = self.seconds / self.audio_seconds if self.audio_seconds else None
        workers = {name: dataclasses.asdict(worker) for name, worker in self.workers.items()}
        return {
            **{name: getattr(self, name) for name in shown},
            "seconds": round(self.seconds, 3),
            "compute_seconds": round(sum(w.compute_seconds for w in self.workers.values()), 3),
            "rtf": rtf,
            "rtfx": 1 / rtf if rtf else None,
            "num_failed": len(self.failures),
            "num_retried": len(self.retried),
            "batches_out_of_memory": len(self.oom_events),
            "split_batches": dataclasses.asdict(self.split_batches),
            "workers": workers,
            "parts": dict(self.parts),
            "fingerprint": fingerprint(dict(self.parts)),
            "versions": find_versions(),
            "failures": [failure.entry() for failure in self.failures],
        }

    def write(self, folder: Path) -> None:
        """Write the report and log a summary of the failures."""
        write_json(folder / REPORT_FILE, self.content())
        for failure in self.failures[:_SHOWN]:
            name = failure.sample_id or f"item {failure.index}"
            logger.error("Sample %s failed: %s", name, failure.message)
        more = len(self.failures) - _SHOWN
        if more > 0:
            logger.error("%d more failures are listed in %s", more, REPORT_FILE)


def find_versions() -> dict[str, str | None]:
    """Return the versions of what decides about outputs and speed."""
    return {
        "espnet3": espnet3.__version__,
        "python": platform.python_version(),
        "torch": _find_version("torch"),
        "dask": _find_version("dask"),
    }


def _find_version(name: str) -> str | None:
    """Return a version; that of a module which is loaded costs nothing."""
    loaded = getattr(sys.modules.get(name), "__version__", None)
    if loaded is not None:
        return str(loaded)
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
