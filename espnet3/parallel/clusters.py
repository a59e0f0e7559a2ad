"""Build the Dask cluster that a ``parallel`` block asks for."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from espnet3.errors import ConfigError, MissingDependencyError
from espnet3.parallel.dask_start import quiet_dask, require_dask
from espnet3.parallel.job_refusals import note_refusals
from espnet3.parallel.settings import BATCH_ENVS, ParallelSettings
from espnet3.parallel.worker_malloc import add_to_prologue
from espnet3.utils.import_utils import import_object, require_package
from espnet3.utils.redaction import redact_config
from espnet3.utils.worker_options import check_options

logger = logging.getLogger(__name__)

_CLASS_NAMES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "moab": "MoabCluster",
    "oar": "OARCluster",
}

_ANY_PORT = "127.0.0.1:0"
"""Where status pages are served; Dask's fixed port would clash with the next run."""


def _lazy_class(name: str, module: str, package: str, extra: str) -> type:
    """Return a class whose construction imports and builds the real one."""

    def construct(cls: type, *args: Any, **kwargs: Any) -> Any:
        require_dask()
        with _keep_interrupt_handler():
            require_package(package, extra=extra, feature=f"parallel.env: {name}")
            real = import_object(f"{module}.{cls.__name__}")
        return real(*args, **kwargs)

    return type(name, (), {"__new__": construct, "__doc__": f"``{module}.{name}``, imported late."})


@contextmanager
def _keep_interrupt_handler() -> Iterator[None]:
    """Undo that the import of dask_jobqueue makes Ctrl-C end a program with status 0."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


CLUSTER_MAP: dict[str, type] = {
    **{
        env: _lazy_class(_CLASS_NAMES[env], "dask_jobqueue", "dask_jobqueue", "cluster")
        for env in BATCH_ENVS
    },
    "ssh": _lazy_class("SSHCluster", "dask.distributed", "asyncssh", "cluster"),
}
"""Cluster classes of the batch systems and of ``ssh``; Dask is imported when one is built."""


def build_cluster(settings: ParallelSettings, *, start_workers: bool = True) -> Any:
    """Start the cluster of a ``parallel`` block; its workers may come later.

    Args:
        settings: The block.
        start_workers: Whether a batch system gets jobs at once.

    Raises:
        ConfigError: If the back end is unknown or has too few GPUs, or an option is wrong.
        MissingDependencyError: If a package is missing.
    """
    backend, options = settings.backend, dict(settings.options or {})
    require_dask()
    for error in check_options(backend, options):
        raise error
    logger.info(
        "Workers: env=%s n_workers=%d options=%s",
        backend,
        settings.num_workers,
        redact_config(options),
    )
    with quiet_dask():
        if backend == "auto":
            backend = "local_gpu" if count_gpus() > 1 else "local"
        if backend == "local":
            return _build_local(settings.num_workers, options)
        if backend == "local_gpu":
            return build_gpu_cluster(settings.num_workers, options)
        if backend == "ssh":
            return CLUSTER_MAP["ssh"](**options)
        cluster = _build_kube(options) if backend == "kube" else _build_batch(backend, options)
        if start_workers:
            cluster.scale(settings.num_workers)
        return cluster


def count_gpus() -> int:
    """Return how many CUDA devices this process sees."""
    import torch

    return torch.cuda.device_count()


def _build_local(n_workers: int, options: Mapping[str, Any]) -> Any:
    from distributed import LocalCluster

    defaults = {
        "threads_per_worker": 1,
        # Whoever connects can run code, so only this machine may.
        "host": "127.0.0.1",
        "dashboard_address": _ANY_PORT,
        "silence_logs": logging.CRITICAL,
        "memory_limit": 0,
    }
    env = {**thread_variables(n_workers), **(options.get("env") or {})}
    return LocalCluster(**{**defaults, **options, "n_workers": n_workers, "env": env})


def build_gpu_cluster(n_workers: int, options: Mapping[str, Any]) -> Any:
    """Start one worker per GPU, each of which sees only its own.

    Args:
        n_workers: GPUs to use.
        options: Arguments of ``distributed.Nanny``, and ``workers_per_device``.

    Raises:
        ConfigError: If there are fewer GPUs than workers.
    """
    options = dict(options)
    count, per_device = count_gpus(), options.pop("workers_per_device", 1)
    if n_workers > count:
        raise ConfigError(
            f"{n_workers} workers need as many GPUs, but {count} are visible",
            key="parallel.n_workers",
            value=n_workers,
        )
    if n_workers < count:
        logger.warning("parallel.n_workers is %d: %d GPUs will idle", n_workers, count - n_workers)
    from distributed import Nanny, Scheduler, SpecCluster

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(count)]
    threads = thread_variables(n_workers * per_device)
    base = {
        "nthreads": 1,
        "host": "127.0.0.1",
        "memory_limit": 0,
        "silence_logs": logging.CRITICAL,
        **options,
    }
    workers = {
        index: {
            "cls": Nanny,
            "options": {
                **base,
                # An index of the driver's devices would be wrong where there is only one.
                "env": {**threads, **base.get("env", {}), **_only(names[gpu])},
            },
        }
        for index, gpu in enumerate(gpu for gpu in range(n_workers) for _ in range(per_device))
    }
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "dashboard": False, "dashboard_address": _ANY_PORT},
    }
    return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)


def _only(device: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": device, "LOCAL_RANK": "0"}


def thread_variables(n_workers: int) -> dict[str, str]:
    """Share the cores among the workers of one machine."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // n_workers))
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)


def _build_batch(backend: str, options: dict[str, Any]) -> Any:
    walltime = options.get("walltime")
    if isinstance(walltime, int) and not isinstance(walltime, bool):
        options["walltime"] = format_walltime(walltime, backend)
        logger.info(
            "parallel.options.walltime: %d seconds is %s (YAML reads 30:00 as a number; quote it)",
            walltime,
            options["walltime"],
        )
    options["scheduler_options"] = {
        "dashboard_address": _ANY_PORT,
        **(options.get("scheduler_options") or {}),
    }
    cluster = CLUSTER_MAP[backend](**add_to_prologue(backend, options))
    note_refusals(cluster)
    return cluster


def format_walltime(seconds: int, backend: str) -> str:
    """Return seconds as ``HH:MM:SS``; LSF has no seconds, so it gets the next full minute.

    Example:
        >>> format_walltime(1800, "slurm"), format_walltime(1790, "lsf")
        ('00:30:00', '00:30')
    """
    if backend == "lsf":
        minutes = -(-seconds // 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


def _build_kube(options: Mapping[str, Any]) -> Any:
    try:
        import dask_kubernetes
    except ImportError as error:
        raise MissingDependencyError(
            "Please install dask_kubernetes for parallel.env: kube\n"
            '  pip install "espnet3[cluster]"'
        ) from error
    try:
        from dask_kubernetes.operator import KubeCluster
    except ImportError:
        KubeCluster = dask_kubernetes.KubeCluster  # noqa: N806
    return KubeCluster(**options)
