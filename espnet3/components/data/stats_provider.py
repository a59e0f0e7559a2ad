"""Equip a process for ``collect_stats``, and what it does with each batch of indices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from espnet3.components.data.sharding import ShardingError
from espnet3.components.data.stats_batch import collect_stats_batch
from espnet3.components.data.stats_identity import stats_config
from espnet3.errors import ConfigError, SettingError
from espnet3.parallel.base_runner import BaseRunner
from espnet3.parallel.env_provider import EnvironmentProvider
from espnet3.utils.config_utils import instantiate_config
from espnet3.utils.task_utils import build_task_or_target


class CollectFeatsMissingError(SettingError, AttributeError):
    """The model cannot give features."""


class CollectStatsInferenceProvider(EnvironmentProvider):
    """Builds data set, model and collate function of a split, once per process.

    Args:
        model_config: ``_target_`` mapping of the model.
        dataset_config: ``_target_`` mapping of the data organizer.
        dataloader_config: Section with ``collate_fn``.
        mode: Split.
        task: Task class that builds the model.
        shard_idx: Shard of the data set to read; ``None`` reads all of it.
        params: More entries of the environment, for ``forward``.
    """

    def __init__(
        self,
        model_config: Any,
        dataset_config: Any,
        dataloader_config: Any,
        mode: str,
        task: str | None = None,
        shard_idx: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        content = stats_config(
            model_config, dataset_config, dataloader_config, mode, task, shard_idx
        )
        super().__init__(DictConfig(content, flags={"allow_objects": True}))
        self.params = dict(params or {})
        self._dataset: Any = None

    @property
    def dataset(self) -> Any:
        """Data set of the split, built on first use."""
        if self._dataset is None:
            self._dataset = _build_dataset(self.config)
        return self._dataset

    def build_env_local(self) -> dict[str, Any]:
        """Return ``dataset``, ``model`` (on its device, eval), ``collate_fn`` and ``device``."""
        return {**_build_env(self.config, self.dataset), **self.params}

    def build_worker_setup_fn(self) -> Callable[[], dict[str, Any]]:
        """Return a function that builds the same in a worker."""
        config, params = self.config, dict(self.params)

        def setup() -> dict[str, Any]:
            return {**_build_env(config, _build_dataset(config)), **params}

        return setup


class CollectStatsRunner(BaseRunner):
    """Computes sums and shapes of batches of indices."""

    @staticmethod
    def forward(
        idx: int | Iterable[int],
        dataset: Any,
        model: Any,
        collate_fn: Any = None,
        device: Any = None,
        write_collected_feats: bool = False,
        collect_stats_kwargs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Any:
        """Return what :func:`collect_stats_batch` returns for one index or several."""
        return collect_stats_batch(
            [idx] if isinstance(idx, int) else list(idx),
            model=model,
            dataset=dataset,
            collate_fn=collate_fn,
            device=device,
            write_collected_feats=write_collected_feats,
            collect_stats_kwargs=collect_stats_kwargs,
        )


def _build_env(config: DictConfig, dataset: Any) -> dict[str, Any]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = _build_model(config)
    if not callable(getattr(model, "collect_feats", None)):
        raise CollectFeatsMissingError(
            f"{type(model).__name__} is missing required callable 'collect_feats'",
            key="model",
            hint="add collect_feats(**batch), which returns features and their lengths",
        )
    if isinstance(model, torch.nn.Module):
        model = model.to(device).eval()
    collate = config.collate_fn
    collate_fn = None if collate is None else instantiate_config(collate, key="collate_fn")
    return {"dataset": dataset, "model": model, "collate_fn": collate_fn, "device": device}


def _build_model(cfg: DictConfig) -> Any:
    return build_task_or_target(cfg.get("task"), cfg.model_config)


def _build_dataset(config: DictConfig) -> Any:
    dataset = _instantiate_dataset(config.dataset_config, config.mode)
    if config.shard_idx is None:
        return dataset
    if not callable(getattr(dataset, "shard", None)):
        raise ShardingError(f"{type(dataset).__name__} has no shard()", key="dataset")
    return dataset.shard(config.shard_idx)


def _instantiate_dataset(dataset_config: Any, mode: str) -> Any:
    organizer = instantiate_config(dataset_config, key="dataset")
    dataset = getattr(organizer, mode, None)
    if dataset is None:
        raise ConfigError(
            f"{type(organizer).__name__} does not provide split '{mode}'", key="dataset"
        )
    if hasattr(dataset, "use_espnet_collator"):
        dataset.use_espnet_collator = True
    return dataset
