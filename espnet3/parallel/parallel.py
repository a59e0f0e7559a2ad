"""Run functions on workers: configuration in force, clients, and parallel maps."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from espnet3.errors import ConfigError
from espnet3.parallel.backlog import Backlog
from espnet3.parallel.clients import close_client, connect, register_env
from espnet3.parallel.clusters import (
    CLUSTER_MAP,
    build_cluster,
    build_gpu_cluster,
)
from espnet3.parallel.dask_start import quiet_dask, require_dask
from espnet3.parallel.settings import ParallelSettings
from espnet3.parallel.work_pool import WorkPool
from espnet3.parallel.worker_env import SetupFn, wrap_func_with_worker_env
from espnet3.utils.config_utils import to_plain
from espnet3.utils.progress import progress_bar
from espnet3.utils.settings import parse_settings

if TYPE_CHECKING:
    from distributed import Client

    from espnet3.parallel.worker_plugin import DictReturnWorkerPlugin

__all__ = [
    "CLUSTER_MAP",
    "DictReturnWorkerPlugin",
    "build_client",
    "build_local_gpu_cluster",
    "get_client",
    "get_parallel_config",
    "make_client",
    "parallel_for",
    "parallel_map",
    "preserve_parallel_config",
    "set_parallel",
    "wrap_func_with_worker_env",
]

_registered: DictConfig | None = None


def __getattr__(name: str) -> Any:
    if name == "DictReturnWorkerPlugin":
        require_dask()
        from espnet3.parallel import worker_plugin

        return worker_plugin.DictReturnWorkerPlugin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def set_parallel(config: DictConfig | None) -> None:
    """Register the parallel configuration of this process.

    Args:
        config: ``parallel`` block, copied. ``None`` keeps what is registered, or registers one
            local worker if nothing is.

    Raises:
        TypeError: If ``config`` is neither a ``DictConfig`` nor ``None``.

    Example:
        >>> set_parallel(OmegaConf.create({"env": "local", "n_workers": 1}))
        >>> get_parallel_config().options
        {}
    """
    global _registered
    if config is None:
        if _registered is None:
            _registered = OmegaConf.create({"env": "local", "n_workers": 1, "options": {}})
        return
    if not isinstance(config, DictConfig):
        raise TypeError(f"set_parallel expects a DictConfig or None, got {type(config).__name__}")
    plain = to_plain(config)
    _registered = OmegaConf.create({**plain, "options": plain.get("options") or {}})


def get_parallel_config() -> DictConfig | None:
    """Return the registered configuration, ``None`` if none was ever registered."""
    return _registered


@contextlib.contextmanager
def preserve_parallel_config() -> Iterator[None]:
    """Put back, at the end of the block, the configuration that was registered before it."""
    global _registered
    previous = _registered
    try:
        yield
    finally:
        _registered = previous


def read_settings(config: DictConfig | None = None) -> ParallelSettings:
    """Return a ``parallel`` block, or the registered one, as settings."""
    block = get_parallel_config() if config is None else config
    return parse_settings(block, ParallelSettings, key="parallel")


def build_client(config: DictConfig | None = None, *, start_workers: bool = True) -> Client:
    """Start a cluster and return a client of it.

    Args:
        config: ``parallel`` block, which is registered; ``None`` uses the registered one.
        start_workers: Whether a batch system gets jobs at once.

    Raises:
        ValueError: If nothing is registered, or the back end is unknown.
        MissingDependencyError: If Dask or the package of the back end is not installed.
    """
    if config is not None:
        set_parallel(config)
    elif _registered is None:
        raise ConfigError(
            "the parallel configuration is not set; call set_parallel or pass a configuration",
            key="parallel",
        )
    return connect(build_cluster(read_settings(), start_workers=start_workers))


make_client = build_client


def build_local_gpu_cluster(n_workers: int, options: dict[str, Any]) -> Client:
    """Start one worker per GPU, each of which sees only its own, and return a client.

    Raises:
        ValueError: If there are fewer GPUs than workers.
    """
    require_dask()
    with quiet_dask():
        return connect(build_gpu_cluster(n_workers, options))


@contextlib.contextmanager
def get_client(
    config: DictConfig | None = None, setup_fn: SetupFn | None = None
) -> Iterator[Client]:
    """Yield a client of a cluster that lives as long as the block.

    Args:
        config: As for :func:`build_client`.
        setup_fn: Returns the environment of a worker; called once in each of them.
    """
    client = build_client(config)
    try:
        if setup_fn is not None:
            register_env(client, setup_fn)
        yield client
    finally:
        close_client(client)


def parallel_map(
    func: Callable[..., Any],
    data: Iterable[Any],
    client: Client | None = None,
    setup_fn: SetupFn | None = None,
    **kwargs: Any,
) -> list[Any]:
    """Return ``func(item, **kwargs)`` of every item, in the order of the items.

    Args:
        func: Any callable, also a lambda or closure. Missing keyword arguments come from the
            worker's environment, see :func:`wrap_func_with_worker_env`.
        data: Items; equal ones are all worked on.
        client: Client to use; ``None`` makes one from the registered configuration.
        setup_fn: Returns the environment of a worker.
        **kwargs: Passed to every call.

    Raises:
        Exception: What ``func`` raises; the rest of the work is cancelled then.
    """
    results = dict(_iter_results(func, data, client, setup_fn, kwargs))
    return [results[position] for position in range(len(results))]


def parallel_for(
    func: Callable[..., Any],
    args: Iterable[Any],
    client: Client | None = None,
    setup_fn: SetupFn | None = None,
    **kwargs: Any,
) -> Iterator[Any]:
    """Yield ``func(item, **kwargs)`` of every item as soon as it is there, in any order.

    Arguments and errors are those of :func:`parallel_map`. Leaving the loop early cancels the rest.
    """
    for _, result in _iter_results(func, args, client, setup_fn, kwargs):
        yield result


def _iter_results(
    func: Callable[..., Any],
    data: Iterable[Any],
    client: Client | None,
    setup_fn: SetupFn | None,
    kwargs: dict[str, Any],
) -> Iterator[tuple[int, Any]]:
    units, num_workers = list(enumerate(data)), 1
    if not units:
        return
    start_timeout = ParallelSettings().start_timeout
    with contextlib.ExitStack() as stack:
        if client is None:
            client = stack.enter_context(get_client(setup_fn=setup_fn))
            settings = read_settings()
            num_workers, start_timeout = settings.num_workers, settings.start_timeout
        elif setup_fn is not None:
            register_env(client, setup_fn)
        num_workers = max(num_workers, len(client.nthreads()))
        pool: WorkPool[tuple[int, Any]] = WorkPool(
            client, num_workers=num_workers, start_timeout=start_timeout
        )
        work = functools.partial(_call_each, func, kwargs)
        bar = stack.enter_context(progress_bar(len(units), "parallel", unit="item"))
        for finished in pool.run(work, Backlog(units, num_workers=num_workers)):
            bar.update(len(finished.units))
            yield from finished.take()


def _call_each(
    func: Callable[..., Any], kwargs: dict[str, Any], units: list[tuple[int, Any]]
) -> list[tuple[int, Any]]:
    call = wrap_func_with_worker_env(func)
    return [(position, call(item, **kwargs)) for position, item in units]
