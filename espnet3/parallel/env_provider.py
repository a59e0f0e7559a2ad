"""What a process needs before it can work."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig


class EnvironmentProvider(ABC):
    """Build the objects (``dataset``, ``model``, …) that a runner's ``forward`` takes by name.

    Args:
        config: Configuration that the objects are built from; kept as ``config``.
    """

    def __init__(self, config: DictConfig) -> None:
        self.config = config

    @abstractmethod
    def build_env_local(self) -> dict[str, Any]:
        """Return the environment of the process that runs the stage."""

    @abstractmethod
    def build_worker_setup_fn(self) -> Callable[[], dict[str, Any]]:
        """Return a function that builds the environment inside a worker process.

        It must be picklable and hold plain values only; heavy objects are built when it is called.
        """


class ModelProvider(EnvironmentProvider):
    """A provider of a data set, a model and plain parameters.

    Args:
        config: Configuration that is given to both build methods.
        params: Further entries of the environment.
    """

    def __init__(self, config: DictConfig, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(config)
        self.params: dict[str, Any] = dict(params or {})

    @staticmethod
    @abstractmethod
    def build_dataset(config: DictConfig) -> Any:
        """Return the data set."""

    @staticmethod
    @abstractmethod
    def build_model(config: DictConfig) -> Any:
        """Return the model."""

    @classmethod
    def provide_model(cls, config: DictConfig) -> Any:
        """Return the model for a worker: a new one, unless a subclass knows better."""
        return cls.build_model(config)

    def build_worker_setup_fn(self) -> Callable[[], dict[str, Any]]:
        """Return a function that builds data set and model anew, with the present ``params``.

        Raises:
            TypeError: If a build method needs the instance, which does not travel to the workers.
        """
        cls, config, params = type(self), self.config, dict(self.params)
        for name in ("build_dataset", "build_model"):
            if not isinstance(inspect.getattr_static(cls, name), staticmethod | classmethod):
                raise TypeError(
                    f"{cls.__name__}.{name} must be a static method or a class method: workers "
                    "have the class, but no instance\n"
                    "  or set `parallel: {env: local, n_workers: 1}`"
                )

        def build_env() -> dict[str, Any]:
            return {
                "dataset": cls.build_dataset(config),
                "model": cls.provide_model(config),
                **params,
            }

        return build_env
