"""Build the loader that a configuration asks for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from omegaconf import DictConfig

from espnet3.components.data.factory_batches import build_batches, deal_batches
from espnet3.components.data.fileio import read_lengths
from espnet3.components.data.loader import ResumableLoader
from espnet3.components.data.planner import BatchPlanner
from espnet3.components.data.settings import PLAIN_KEYS, WORKER_KEYS, LoaderSettings
from espnet3.components.data.sharding import select_shard
from espnet3.errors import ConfigError, DataError, MissingConfigError, SettingError
from espnet3.utils.config_utils import instantiate_config, to_plain
from espnet3.utils.settings import parse_settings

logger = logging.getLogger(__name__)

_MODES = ("train", "valid")
_logged: set[str] = set()


class DataLoaderBuilder:
    """Build the loader of a mode: native, from an iterator factory, plain, or a recipe's own.

    Args:
        dataset: Data set of the mode.
        config: Whole training configuration; read are ``dataloader.<mode>``, ``stats_dir``,
            ``seed``, and ``sampler`` and ``batch_sampler`` at the root.
        collate_fn: Makes a batch of items; with an iterator factory, the factory's own counts.
        num_device: Devices of this run; more than one means that a process group must exist.
        epoch: Epoch that the loader is for.
    """

    def __init__(
        self,
        dataset: Any,
        config: Mapping[str, Any] | DictConfig,
        collate_fn: Any,
        num_device: int,
        epoch: int,
    ) -> None:
        self.dataset = dataset
        self.config = config
        self.collate_fn = collate_fn
        self.num_device = num_device
        self.epoch = epoch

    def build(self, mode: str) -> Any:
        """Return the loader of ``train`` or ``valid``.

        Raises:
            ConfigError: If ``mode`` is another one.
            SettingError: If settings contradict each other.
            ShardingError: If the shards of the data set do not fit the ranks.
            DataError: If the shape file does not fit the data set.
        """
        if mode not in _MODES:
            raise ConfigError("must be train or valid", key="mode", value=mode)
        section = self.config.get("dataloader") or {}
        plain = to_plain(section.get(mode)) or {}
        refuse_multiple_iterator(plain, mode)
        settings = parse_settings(plain, LoaderSettings, key=f"dataloader.{mode}")
        loader = self._build(mode, settings, plain)
        if not isinstance(loader, ResumableLoader):  # which has just described its plan
            log_dataloader(logger, loader, mode)
        return loader

    def _build(self, mode: str, settings: LoaderSettings, section: Mapping[str, Any]) -> Any:
        if isinstance(settings.loader, dict):
            key = f"dataloader.{mode}.loader"
            return instantiate_config(
                settings.loader, self.dataset, key=key, collate_fn=self.collate_fn
            )
        world_size, rank = self._world()
        dataset = select_shard(self.dataset, epoch=self.epoch, rank=rank, world_size=world_size)
        if settings.loader == "native":
            return self._build_native(mode, settings, dataset, world_size, rank)
        if settings.iter_factory is not None:
            return self._build_from_factory(mode, settings, dataset, world_size, rank)
        return self._build_standard_dataloader(section, dataset, mode)

    def _world(self) -> tuple[int, int]:
        """Return world size and rank."""
        distributed = torch.distributed
        if self.num_device > 1 or (distributed.is_available() and distributed.is_initialized()):
            return distributed.get_world_size(), distributed.get_rank()
        return 1, 0

    def _build_standard_dataloader(
        self, mode_config: Mapping[str, Any], dataset: Any = None, mode: str = "train"
    ) -> torch.utils.data.DataLoader[Any]:
        settings = parse_settings(mode_config, LoaderSettings, key=f"dataloader.{mode}")
        dataset = self.dataset if dataset is None else dataset
        samplers = {
            name: getattr(settings, name) or to_plain(self.config.get(name))
            for name in ("sampler", "batch_sampler")
        }
        if samplers["sampler"] and samplers["batch_sampler"]:
            raise SettingError(
                "Cannot specify both sampler and batch_sampler", key=f"dataloader.{mode}"
            )
        built = {
            name: instantiate_config(node, dataset, key=f"dataloader.{mode}.{name}")
            for name, node in samplers.items()
            if node
        }
        options = settings.options("shuffle", *PLAIN_KEYS, *WORKER_KEYS)
        return torch.utils.data.DataLoader(dataset, collate_fn=self.collate_fn, **built, **options)

    def _build_from_factory(
        self, mode: str, settings: LoaderSettings, dataset: Any, world_size: int, rank: int
    ) -> Any:
        key = f"dataloader.{mode}.iter_factory"
        factory = dict(settings.iter_factory or {})
        if "MultipleIterFactory" in str(factory.get("_target_")):
            raise _unsupported(f"{key}._target_", factory["_target_"])
        ignored = [
            name for name in settings.changed_keys() if name not in ("iter_factory", "num_shards")
        ]
        if ignored:
            logger.warning(
                "dataloader.%s: %s not read while iter_factory is set; set iter_factory: null for"
                " a plain loader, or give the factory these options",
                mode,
                ", ".join(ignored),
            )
        batches = build_batches(factory.pop("batches", None), key)
        batches = deal_batches(batches, world_size, rank, mode)
        built = instantiate_config(factory, dataset, key=key, batches=batches)
        # For the parts of a virtual epoch ESPnet2 counts from 1.
        is_theirs = type(built).__module__.startswith("espnet2.")
        is_shifted = is_theirs and getattr(built, "num_iters_per_epoch", None)
        return built.build_iter(self.epoch + 1 if is_shifted else self.epoch)

    def _build_native(
        self, mode: str, settings: LoaderSettings, dataset: Any, world_size: int, rank: int
    ) -> ResumableLoader:
        if dataset is not self.dataset:
            raise SettingError(
                "the native loader deals utterances to ranks itself and does not read sharded data",
                key=f"dataloader.{mode}.loader",
                value="native",
                hint="set loader: null and iter_factory: null for sharded data",
            )
        lengths = read_checked_lengths(self._shape_file(mode, settings), dataset)
        planner = BatchPlanner(
            lengths, settings.planner_settings(mode, int(self.config.get("seed") or 0))
        )
        options = settings.options(*WORKER_KEYS)
        options["pin_memory"] = settings.pin_memory and torch.cuda.is_available()
        loader = ResumableLoader(
            dataset,
            planner,
            self.collate_fn,
            rank=rank,
            world_size=world_size,
            epoch=self.epoch,
            allow_data_change=settings.allow_data_change,
            **options,
        )
        _log_plan(loader, mode, settings.length_unit)
        return loader

    def _shape_file(self, mode: str, settings: LoaderSettings) -> Path:
        if settings.shape_file is not None:
            return Path(settings.shape_file)
        stats_dir = self.config.get("stats_dir")
        if not stats_dir:
            raise MissingConfigError(
                "the native loader takes lengths from collect_stats",
                key="stats_dir",
                hint=f"set stats_dir, or dataloader.{mode}.shape_file",
            )
        name = "feats_shape" if settings.length_unit == "frames" else "speech_shape"
        return Path(stats_dir) / mode / name


def read_checked_lengths(shape_file: Path, dataset: Any) -> np.ndarray:
    """Read lengths and make sure, on a few samples, that they belong to ``dataset``.

    Returns:
        int64, shape ``(len(dataset),)``.

    Raises:
        FileNotFoundError: If there is no shape file.
        DataError: If it was made of other data.
    """
    uids, lengths = read_lengths(shape_file)
    advice = "the statistics are stale: run collect_stats again"
    if len(uids) != len(dataset):
        raise DataError(
            f"{shape_file} has {len(uids)} utterances, the data set has {len(dataset)}; {advice}"
        )
    if uids and callable(getattr(dataset, "uid", None)):
        for position in sorted({0, len(uids) // 2, len(uids) - 1}):
            uid = dataset.uid(position)
            if uid != uids[position]:
                raise DataError(
                    f"{shape_file}:{position + 1}: utterance {uids[position]!r} is {uid!r} in the"
                    f" data set; {advice}"
                )
    return lengths


def log_dataloader(log: logging.Logger, loader: Any, label: str) -> None:
    """Log class and main attributes of a loader at INFO, once per label in a process."""
    if label in _logged:
        return
    _logged.add(label)
    parts = [f"class={type(loader).__name__}"]
    for name in ("dataset", "batch_size", "num_workers", "collate_fn", "batch_sampler", "sampler"):
        value = getattr(loader, name, None)
        if value is not None:
            is_simple = isinstance(value, int | str)
            parts.append(f"{name}={value if is_simple else type(value).__name__}")
    log.info("dataloader %s: %s", label, " ".join(parts))


def _log_plan(loader: ResumableLoader, mode: str, unit: str) -> None:
    plan = loader.plan
    logger.info(
        "dataloader %s: native, utterances=%d steps=%d world_size=%d padding=%.1f%% unit=%s",
        mode,
        len(plan.permutation),
        plan.num_steps,
        plan.world_size,
        100 * plan.padding_waste(loader.planner.lengths),
        unit,
    )


def refuse_multiple_iterator(section: Mapping[str, Any], mode: str) -> None:
    """Stop if the section of a mode has the key ``multiple_iterator``, whatever its value.

    Raises:
        MissingConfigError: If it has.
    """
    if "multiple_iterator" in section:
        raise _unsupported(f"dataloader.{mode}.multiple_iterator", section["multiple_iterator"])


def _unsupported(key: str, value: Any) -> MissingConfigError:
    return MissingConfigError(
        "multiple_iterator is not supported",
        key=key,
        value=value,
        hint="take the key out; to read data in shards, use a ShardedDataset",
    )
