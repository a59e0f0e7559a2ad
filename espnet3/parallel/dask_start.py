"""Start Dask, where it is installed, without what runs of ours have no use for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from espnet3.errors import MissingDependencyError
from espnet3.parallel.worker_malloc import worker_config

_QUIET = {
    # The driver decides what happens to work whose worker died.
    "distributed.scheduler.allowed-failures": 0,
    # Idle processes of Dask's defaults take 4 % of a core each, mostly to watch themselves.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.memory.monitor-interval": "2s",
}


def require_dask() -> None:
    """Raise unless Dask can be imported.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"Dask is required for more than one worker ({error})\n"
            '  install it with: pip install "dask[distributed]"'
        ) from error


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Start Dask servers inside the block without their self-observation and chatter."""
    import dask
    import distributed  # noqa: F401

    # Dask sets this level when it is imported. What matters reaches us as exceptions.
    chatter = logging.getLogger("distributed")
    if chatter.level == logging.INFO:
        chatter.setLevel(logging.CRITICAL)
    with dask.config.set({**_QUIET, **worker_config()}):
        yield
