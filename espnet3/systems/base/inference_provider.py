"""The data set and model of the ``infer`` stage."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import UnsupportedValueType

from espnet3.errors import ConfigError, did_you_mean
from espnet3.parallel.env_provider import ModelProvider
from espnet3.systems.base.kept_model import kept_or_built
from espnet3.utils.config_utils import instantiate_config, to_plain
from espnet3.utils.fingerprint import fingerprint

MODEL_KEYS = ("model", "recipe_dir", "device", "device_index", "local_rank")
"""What :meth:`InferenceProvider.build_model` reads of a configuration."""


class InferenceProvider(ModelProvider):
    """Build one test set and the model of ``inference.yaml`` when they are asked for.

    Subclasses may override :meth:`build_dataset` and :meth:`build_model`, as static methods or as
    ordinary ones.

    Args:
        inference_config: Inference configuration with ``test_set``; kept as a copy in ``config``
            with ``params`` on top.
        params: Further entries of the environment. Those that a configuration can hold are keys
            of ``config`` too.

    Raises:
        ConfigError: If ``params`` names ``dataset`` or ``model``.
    """

    def __init__(
        self,
        inference_config: DictConfig | Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        given = dict(params or {})
        for name in ("dataset", "model"):
            if name in given:
                raise ConfigError(
                    f"{name!r} is built by the provider and cannot be replaced",
                    key="provider.params",
                    hint="choose another name for this parameter",
                )
        super().__init__(_merge(inference_config, given), given)
        self._dataset: Any = None

    def build_env_local(self) -> dict[str, Any]:
        """Build the model, and the test set unless :meth:`local_dataset` already has."""
        model = _kept_or_built(self, self.config)
        return {"dataset": self.local_dataset(), "model": model, **self.params}

    @classmethod
    def provide_model(cls, config: DictConfig) -> Any:
        """Return the model for a worker; that of the test set before, if nothing differs."""
        return _kept_or_built(cls, config)

    def local_dataset(self) -> Any:
        """Return the test set of this process, built once."""
        if self._dataset is None:
            self._dataset = self.build_dataset(self.config)
        return self._dataset

    @staticmethod
    def build_dataset(config: DictConfig | Mapping[str, Any]) -> Any:
        """Return the test set ``config.test_set`` of the organizer ``config.dataset``.

        Raises:
            ConfigError: If the organizer has no such test set.
        """
        config = _as_config(config)
        organizer = instantiate_config(config.dataset, key="dataset")
        name = config.test_set
        if name not in organizer.test:
            names = [str(known) for known in organizer.test]
            hint = did_you_mean(name, names) or f"test sets: {', '.join(names) or 'none'}"
            raise ConfigError("is no test set", key="dataset.test", value=name, hint=hint)
        return organizer.test[name]

    @staticmethod
    def build_model(config: DictConfig | Mapping[str, Any]) -> Any:
        """Return ``config.model`` on its device, by the back end that all inference shares."""
        from espnet3.components.inference import backend

        return backend.build_model(_as_config(config))


def _kept_or_built(owner: Any, config: DictConfig) -> Any:
    """Return the model of a provider or its class; one that is built in its own way is built."""
    if owner.build_model is not InferenceProvider.build_model:
        return owner.build_model(config)
    key = fingerprint([to_plain(config.get(name)) for name in MODEL_KEYS])
    return kept_or_built(key, lambda: InferenceProvider.build_model(config))


def _as_config(config: DictConfig | Mapping[str, Any] | None) -> DictConfig:
    return config if isinstance(config, DictConfig) else OmegaConf.create(dict(config or {}))


def _merge(config: DictConfig | Mapping[str, Any] | None, params: Mapping[str, Any]) -> DictConfig:
    """Return a copy of ``config`` with those params on top that a configuration can hold."""
    merged = copy.deepcopy(_as_config(config))
    OmegaConf.set_readonly(merged, False)
    OmegaConf.set_struct(merged, False)
    for name, value in params.items():
        try:
            merged[name] = value
        except UnsupportedValueType:
            continue
    return merged
