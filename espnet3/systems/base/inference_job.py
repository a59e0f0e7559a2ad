"""What is to be done for a test set, as plain values that can travel to a worker."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.components.inference.affinity import pin_to_device
from espnet3.components.inference.batching import Batch
from espnet3.components.inference.settings import ExecutionSettings
from espnet3.parallel.worker_env import WORKER_SETUP, check_env, current_env
from espnet3.systems.base.inference_engine import DecodeEngine
from espnet3.systems.base.inference_outcome import Outcome
from espnet3.systems.base.inference_writer import RecordWriter
from espnet3.systems.base.kept_model import keep_model


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

    def build_writer(self) -> RecordWriter:
        """Return what makes lines and files of records."""
        return RecordWriter(
            self.folder,
            idx_key=self.idx_key,
            fields=self.fields,
            artifacts=self.artifacts,
            allow_none=self.settings.allow_none,
        )

    def cpu_builder(self, provider: Any, owner: Any) -> Callable[[], Any] | None:
        """Return what builds a second model on the CPU, ``None`` if none is wanted.

        Args:
            provider: Its configuration counts.
            owner: Has ``build_model``: the provider, or its class, which can travel.
        """
        if not self.settings.oom.cpu_fallback:
            return None
        return functools.partial(owner.build_model, {**provider.config, "device": "cpu"})

    def build_engine(
        self, env: Mapping[str, Any], build_on_cpu: Callable[[], Any] | None = None
    ) -> DecodeEngine:
        """Return what decodes in this process.

        Args:
            env: What the provider has built.
            build_on_cpu: Builds a second model, on the CPU.
        """
        if self.settings.cpu_affinity:
            pin_to_device(env.get("model"))
        return DecodeEngine(
            self.runner_cls.forward,
            env,
            writer=self.build_writer(),
            settings=self.settings,
            sample_rate=self.sample_rate,
            build_on_cpu=build_on_cpu,
        )


def make_setup(
    job: DecodeJob,
    build_env: Callable[[], dict[str, Any]],
    build_on_cpu: Callable[[], Any] | None = None,
    *,
    stage: str | None = None,
) -> Callable[[], dict[str, Any]]:
    """Return the function that builds the engine of a worker, which keeps models of ``stage``."""

    def setup() -> dict[str, Any]:
        keep_model(stage)
        return {"engine": job.build_engine(check_env(build_env(), WORKER_SETUP), build_on_cpu)}

    return setup


def find_capacity(units: list[tuple[int, int]]) -> int | None:
    """Run on a worker."""
    engine: DecodeEngine = current_env()["engine"]
    return engine.find_capacity(*units[0])


def decode_units(fields: list[str], folder: Path, batches: list[Batch]) -> Outcome:
    """Run on a worker."""
    engine: DecodeEngine = current_env()["engine"]
    total = Outcome()
    for outcome in engine.run_into(folder, fields, batches):
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
