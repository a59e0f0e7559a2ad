"""What the ``parallel`` block of a configuration may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from espnet3.errors import SettingError, did_you_mean
from espnet3.utils.types import Seconds

BATCH_ENVS = ("slurm", "pbs", "sge", "lsf", "htcondor", "moab", "oar")
"""Batch systems, each with its Dask cluster class."""

ENVS = ("local", "local_gpu", "auto", "ssh", "kube", *BATCH_ENVS)
"""Values of ``parallel.env``."""

RUNNER_OPTIONS = (
    "batch_size",
    "async_mode",
    "async_specs_dir",
    "async_result_dir",
    "output_dir",
    "shard_subdir",
    "resume",
)
"""Arguments of ``BaseRunner`` besides the provider."""


@dataclass(frozen=True, kw_only=True)
class ParallelSettings:
    """The ``parallel`` block; a value of null means the default."""

    env: str | None = "local"
    """Where work runs: ``local``, ``local_gpu``, ``auto``, ``ssh``, ``kube`` or a batch system."""
    n_workers: int | None = None
    """Number of worker processes; null means 1, and for ``ssh`` one per host."""
    options: dict[str, Any] | None = None
    """Keyword arguments of the cluster class."""
    start_timeout: Seconds | None = 600.0
    """How long to wait for a first worker, and for a new one after the last has died."""

    def __post_init__(self) -> None:
        if self.backend not in ENVS:
            raise SettingError(
                f"Unknown env {self.env!r}; known: {', '.join(ENVS)}",
                key="parallel.env",
                value=self.env,
                hint=did_you_mean(self.backend, ENVS),
            )
        if self.n_workers is not None and self.n_workers < 1:
            raise SettingError("must be 1 or more", key="parallel.n_workers", value=self.n_workers)
        if self.start_timeout is not None and self.start_timeout <= 0:
            raise SettingError(
                "must be positive", key="parallel.start_timeout", value=self.start_timeout
            )

    @property
    def backend(self) -> str:
        """Name of the back end."""
        return self.env or "local"

    @property
    def is_in_process(self) -> bool:
        """Whether the driver itself does the work, one item after the other."""
        return self.backend == "local" and (self.n_workers or 1) == 1

    @property
    def num_workers(self) -> int:
        """Workers to expect."""
        if self.backend == "ssh":
            return self._ssh_workers()
        return self.n_workers or 1

    def _ssh_workers(self) -> int:
        hosts = (self.options or {}).get("hosts") or []
        count = len(hosts) - 1
        if count < 1:
            raise SettingError(
                "must list the host of the scheduler and at least one worker",
                key="parallel.options.hosts",
            )
        if self.n_workers not in (None, count):
            raise SettingError(
                f"must be the number of worker hosts ({count}), or be left out",
                key="parallel.n_workers",
                value=self.n_workers,
            )
        return count
