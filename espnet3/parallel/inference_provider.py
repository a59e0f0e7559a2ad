"""A provider that builds its data set and model at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from espnet3.parallel.env_provider import ModelProvider


class InferenceProvider(ModelProvider):
    """Build a data set and a model in the constructor and hand them out on request.

    The ``infer`` stage uses the lazy provider of :mod:`espnet3.systems.base.inference_provider`.

    Args:
        config: Configuration that is given to both build methods.
        params: Further entries of the environment.
    """

    def __init__(self, config: DictConfig, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(config, params)
        self._env = {
            "dataset": self.build_dataset(config),
            "model": self.build_model(config),
            **self.params,
        }

    def build_env_local(self) -> dict[str, Any]:
        """Return a new dict with the objects that the constructor built."""
        return dict(self._env)
