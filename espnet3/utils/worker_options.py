"""Check ``parallel.options`` against the source of the classes that they go to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from espnet3.errors import ConfigError, MissingConfigError, UnknownKeyError, did_you_mean
from espnet3.utils.source_signatures import find_signature
from espnet3.utils.value_checks import is_open

_KEY = "parallel.options"
_WORKER = ("distributed.nanny.Nanny", "distributed.worker.Worker", "distributed.core.Server")
_LOCAL = ("distributed.deploy.local.LocalCluster", *_WORKER)
_BATCH = ("dask_jobqueue.core.JobQueueCluster", "dask_jobqueue.core.Job")
_OF_OURS = {"local_gpu": ("workers_per_device",), "auto": ("workers_per_device",)}
"""Options that no class takes."""

CALLEES = {
    "local": _LOCAL,
    "local_gpu": _WORKER,
    "auto": _LOCAL,
    "ssh": ("distributed.deploy.ssh.SSHCluster", "distributed.deploy.spec.SpecCluster"),
    "slurm": ("dask_jobqueue.slurm.SLURMJob", *_BATCH),
    "pbs": ("dask_jobqueue.pbs.PBSJob", *_BATCH),
    "sge": ("dask_jobqueue.sge.SGEJob", *_BATCH),
    "lsf": ("dask_jobqueue.lsf.LSFJob", *_BATCH),
    "htcondor": ("dask_jobqueue.htcondor.HTCondorJob", *_BATCH),
    "moab": ("dask_jobqueue.moab.MoabJob", *_BATCH),
    "oar": ("dask_jobqueue.oar.OARJob", *_BATCH),
}
"""Back end → classes that share its options; what one does not take, it gives to the next."""


def check_block(section: object) -> Iterator[ConfigError]:
    """Yield what is wrong with the options of a ``parallel`` block.

    Those that nobody reads, because this process does the work, may be for another back end.

    Args:
        section: The block, raw or resolved.
    """
    if not isinstance(section, Mapping) or not isinstance(section.get("options") or {}, Mapping):
        return
    backend, options = section.get("env") or "local", section.get("options") or {}
    is_in_process = backend == "local" and (section.get("n_workers") or 1) == 1
    if not is_in_process:
        yield from check_options(backend, options)


def check_options(backend: str, options: Mapping[Any, Any]) -> Iterator[ConfigError]:
    """Yield what is wrong with the options of a back end.

    Nothing but Dask's configuration is imported; classes that are not installed take anything.

    Args:
        backend: Value of ``parallel.env``.
        options: Value of ``parallel.options``.
    """
    if backend not in CALLEES:
        return
    found = list(_check_names(backend, options))
    yield from found or _find_missing(backend, options)


def _check_names(backend: str, options: Mapping[Any, Any]) -> Iterator[ConfigError]:
    signatures = [find_signature(path) for path in CALLEES[backend]]
    known = {name: None for s in signatures if s is not None for name in s.parameters}
    if None in signatures:  # nobody can tell without importing
        return
    names = [*_OF_OURS.get(backend, ()), *known]
    classes = " and ".join(path.rpartition(".")[2] for path in CALLEES[backend][:2])
    for name in map(str, options):
        if name not in names:
            yield UnknownKeyError(
                f"is not an option of workers with parallel.env: {backend}",
                key=f"{_KEY}.{name}",
                hint=did_you_mean(name, names) or f"options are the arguments of {classes}",
            )


def _find_missing(backend: str, options: Mapping[Any, Any]) -> Iterator[ConfigError]:
    if _BATCH[0] not in CALLEES[backend]:
        return
    needed = ("cores", "memory", *(["disk"] if backend == "htcondor" else []))
    lacking = [name for name in needed if options.get(name) is None]
    if lacking and not is_open(options.get("config_name")):
        system = options.get("config_name") or backend
        lacking = [name for name in lacking if not _has_default(f"jobqueue.{system}.{name}")]
    for name in lacking:
        yield MissingConfigError(
            f"must be set: parallel.env: {backend} asks the batch system for it",
            key=f"{_KEY}.{name}",
            hint="for example " + {"cores": "1", "memory": "4GB", "disk": "1GB"}[name],
        )


def _has_default(key: str) -> bool:
    """Tell whether the user's configuration of Dask has a value."""
    try:
        import dask.config
    except ImportError:
        return True  # nothing can run, which is found elsewhere
    return dask.config.get(key, None) is not None
