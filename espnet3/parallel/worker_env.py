"""Build an environment once per worker process and hand its entries to functions by name."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

SetupFn: TypeAlias = Callable[[], dict[str, Any]]

WORKER_VARIABLE = "ESPNET3_WORKER_ID"
"""Environment variable with the name of a worker, which reports and log lines show."""

WORKER_SETUP = "the function of the provider's build_worker_setup_fn"
"""How messages call what builds the environment of a worker."""


def check_env(value: Any, source: str = "setup_fn") -> dict[str, Any]:
    """Return what a setup function has returned.

    Args:
        value: Its result.
        source: Its name, for the message.

    Raises:
        ValueError: If it is not a dict.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{source} must return a dict, got {type(value).__name__}")
    return value


def build_local_env(provider: Any) -> dict[str, Any]:
    """Return the environment that a provider builds in this process.

    Raises:
        ValueError: If it is not a dict.
    """
    return check_env(provider.build_env_local(), f"{type(provider).__name__}.build_env_local")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a worker must share with the driver so that the same code means the same there."""

    path: tuple[str, ...]
    """Entries of ``sys.path``."""
    directory: str
    """Working directory."""
    log_level: int = logging.WARNING
    """Level from which the driver logs."""

    @classmethod
    def of_this_process(cls) -> Self:
        """Return that of the driver."""
        return cls(
            path=tuple(os.path.abspath(p) for p in sys.path),  # noqa: PTH100
            directory=os.getcwd(),  # noqa: PTH109
            log_level=logging.getLogger("espnet3").getEffectiveLevel(),
        )

    def enter(self) -> None:
        """Give it to this process, whose log lines get the name of the worker in front."""
        root = logging.getLogger()
        if not root.handlers:
            worker = os.environ.get(WORKER_VARIABLE, "")
            logging.basicConfig(
                level=self.log_level, format=f"[worker {worker}] %(levelname)s: %(message)s"
            )
        sys.path.extend(path for path in self.path if path not in sys.path)
        try:
            os.chdir(self.directory)
        except OSError as error:
            error.add_note("every host of a worker needs the working directory of the driver")
            raise


class LazyEnv:
    """An environment that is built on first use, once, even if that fails.

    Args:
        payload: Pickled setup function.
        context: Entered before the function is read.
    """

    def __init__(self, payload: bytes, context: Context) -> None:
        self._payload = payload
        self._context = context
        self._lock = threading.Lock()
        self._env: dict[str, Any] | None = None
        self._error: Exception | None = None

    def get(self) -> dict[str, Any]:
        """Return the environment.

        Raises:
            Exception: What the setup function raised, again on every call.
        """
        with self._lock:
            if self._env is None and self._error is None:
                try:
                    self._context.enter()
                    self._env = check_env(self._read_setup()())
                except Exception as error:
                    self._error = error
        if self._error is not None:
            raise self._error
        return self._env or {}

    def _read_setup(self) -> SetupFn:
        try:
            # Our own driver wrote it, on a connection that Dask trusts anyway.
            setup_fn: SetupFn = pickle.loads(self._payload)  # noqa: S301
        except Exception as error:
            error.add_note(
                "this worker cannot read the setup function of the driver: code of a script or "
                "notebook travels along, but modules that it imports must exist on the worker too"
            )
            raise
        return setup_fn


def current_env() -> dict[str, Any]:
    """Return the environment of the worker that runs this task, ``{}`` outside a worker."""
    try:
        from distributed import get_worker

        worker = get_worker()
    except (ImportError, ValueError):
        return {}
    found = worker.plugins.get("env")
    if isinstance(found, dict):
        return found
    # Kept by the plugin only: cancelled work may still be here when the next plugin comes.
    plugin = worker.plugins.get("espnet3-env")
    return {} if plugin is None else plugin.env.get()


def wrap_func_with_worker_env(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that takes the arguments which it was not given from the worker.

    An entry of the environment is passed if ``func`` has a parameter of its name, or takes
    ``**kwargs``; an argument given by position is left alone.

    Raises:
        ValueError: When called, if an entry is also given as a keyword.
    """
    select = EnvSelector(func)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **select(current_env(), len(args), kwargs), **kwargs)

    return call


class EnvSelector:
    """Knows which entries of an environment a function takes.

    Args:
        func: Any callable; one without a signature takes nothing.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        try:
            parameters = list(inspect.signature(func).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        self._positional = [
            p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        self._names = {
            p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)

    def __call__(
        self, env: Mapping[str, Any], num_positional: int, kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the entries to pass beside ``num_positional`` arguments and ``kwargs``.

        Raises:
            ValueError: If an entry is also in ``kwargs``.
        """
        clashes = sorted(n for n in kwargs if n in env and (self._takes_all or n in self._names))
        if clashes:
            raise ValueError(
                f"{', '.join(clashes)}: given as an argument and by the worker's environment"
            )
        bound = set(self._positional[:num_positional])
        return {
            name: value
            for name, value in env.items()
            if name not in bound and (self._takes_all or name in self._names)
        }
