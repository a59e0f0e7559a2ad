"""What happened while a test set was decoded: ``inference_report.json``."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import espnet3
from espnet3.systems.base.inference_outcome import Failure, Outcome
from espnet3.utils.fingerprint import fingerprint
from espnet3.utils.path_utils import write_json
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)

REPORT_FILE = "inference_report.json"
_SHOWN = 5


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
    batches_out_of_memory: int = 0
    padding_waste: float | None = None
    """Part of the batches that was padding, where lengths are known."""
    max_cost: float | None = None
    """Limit of ``dynamic`` batches, given or found by trial."""
    samples_by_worker: dict[str, int] = dataclasses.field(default_factory=dict)
    """Samples that each worker has decoded."""
    verified: dict[str, Any] | None = None
    """What ``execution.verify`` has found."""
    failures: list[Failure] = dataclasses.field(default_factory=list)
    parts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Digests of what the outputs depend on."""

    def add(self, outcome: Outcome, num_new: int) -> None:
        """Count the outcome of some batches, with so many new samples."""
        if outcome.worker is not None:
            earlier = self.samples_by_worker.get(outcome.worker, 0)
            self.samples_by_worker[outcome.worker] = earlier + num_new
        self.failures += outcome.failures
        self.batches_out_of_memory += outcome.num_oom
        if self.audio_seconds is not None and outcome.audio_seconds is not None:
            self.audio_seconds += outcome.audio_seconds
        else:
            self.audio_seconds = None

    def write(self, folder: Path) -> None:
        """Write the report and log a summary of the failures."""
        failures = [
            {
                "index": failure.index,
                "id": failure.sample_id,
                "kind": failure.kind,
                "worker": failure.worker,
                "device": failure.device,
                "error": failure.message,
                "traceback": failure.traceback,
            }
            for failure in self.failures
        ]
        rtf = self.seconds / self.audio_seconds if self.audio_seconds else None
        content: dict[str, Any] = {
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)},
            "parts": dict(self.parts),
            "fingerprint": fingerprint(dict(self.parts)),
            "seconds": round(self.seconds, 3),
            "num_failed": len(failures),
            "rtf": rtf,
            "rtfx": 1 / rtf if rtf else None,
            "espnet3_version": espnet3.__version__,
            "failures": failures,
        }
        write_json(folder / REPORT_FILE, content)
        for failure in self.failures[:_SHOWN]:
            name = failure.sample_id or f"item {failure.index}"
            logger.error("Sample %s failed: %s", name, failure.message)
        if len(failures) > _SHOWN:
            logger.error("%d more failures are listed in %s", len(failures) - _SHOWN, REPORT_FILE)
