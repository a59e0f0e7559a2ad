"""A provider that builds its data set and model at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig

from espnet3.parallel.env_provider import EnvironmentProvider


class InferenceProvider(EnvironmentProvider):
    """Build a data set and a model in the constructor and hand them out on request.

    The ``infer`` stage uses the lazy provider of :mod:`espnet3.systems.base.inference_provider`.

    Args:
        config: Configuration that is given to both build methods.
        params: Further entries of the environment.
    """

    def __init__(self, config: DictConfig, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(config)
        self.params: dict[str, Any] = dict(params or {})
        self._env = {
            "dataset": self.build_dataset(config),
            "model": self.build_model(config),
            **self.params,
        }

    @staticmethod
    @abstractmethod
    def build_dataset(config: DictConfig) -> Any:
        """Return the data set."""

    @staticmethod
    @abstractmethod
    def build_model(config: DictConfig) -> Any:
        """Return the model."""

    def build_env_local(self) -> dict[str, Any]:
        """Return a new dict with the objects that the constructor built."""
        return dict(self._env)

    def build_worker_setup_fn(self) -> Callable[[], dict[str, Any]]:
        """Return a function that builds data set and model anew, with the present ``params``."""
        cls, config, params = type(self), self.config, dict(self.params)

        def build_env() -> dict[str, Any]:
            return {
                "dataset": cls.build_dataset(config),
                "model": cls.build_model(config),
                **params,
            }

        return build_env
