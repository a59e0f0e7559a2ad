"""When the memory allocator of workers gives memory back to the system.

Dask lets glibc do so after each batch and fixes the size from which memory is mapped anew, for
workers that hold large tables. A worker that decodes asks for the same memory again at once, and
spends a sixth of its time on page faults then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEY = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"

# A job finds Dask's default again, and variables cannot say "as without variables": these are the
# values at which glibc arrives by itself with large tensors (mallopt(3), M_MMAP_THRESHOLD).
_VARIABLES = {"MALLOC_TRIM_THRESHOLD_": 2**26, "MALLOC_MMAP_THRESHOLD_": 2**25}


def keeps_choice() -> bool:
    """Tell whether the user's configuration of Dask says something about it."""
    import dask
    import distributed  # noqa: F401, brings its defaults

    default = dask.config.get(_KEY, None, config=dask.config.merge(*dask.config.defaults))
    written = dask.config.get(_KEY, None, config=dask.config.collect())
    return written is not None or dask.config.get(_KEY, None) not in (default, None)


def worker_config() -> dict[str, Any]:
    """Return the configuration of Dask with which workers are to be started from here."""
    return {} if keeps_choice() else {_KEY: None}


def add_to_prologue(backend: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a batch system whose jobs leave the allocator to itself.

    Lines of the user stay in front, and variables that they or the host set are kept.

    Args:
        backend: Name of the back end.
        options: Arguments of its class in ``dask_jobqueue``.
    """
    import dask

    def find(name: str) -> Any:
        given = options.get(name)
        key = f"jobqueue.{backend}.{name.replace('_', '-')}"
        return dask.config.get(key, None) if given is None else given

    earlier = find("job_script_prologue") or find("env_extra") or []
    if keeps_choice():
        return dict(options)
    lines = [f"export {name}=${{{name}:-{value}}}" for name, value in _VARIABLES.items()]
    return {**options, "job_script_prologue": [*earlier, *lines]}
