"""What the Lightning module reads from ``training.yaml``; torch is not needed to check it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from espnet3.components.data.settings import CollectStatsSettings
from espnet3.errors import MissingConfigError, SettingError
from espnet3.utils.settings import parse_settings, rest


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModuleSettings:
    """The part of the training configuration that :class:`ESPnetLightningModule` reads."""

    dataset: Any = None
    """Mapping with ``_target_`` (or an object) that has the attributes ``train`` and ``valid``."""
    dataloader: Any = None
    """Section of the data loaders; ``collate_fn`` in it is a mapping with ``_target_``."""
    criterion: dict[str, Any] | None = None
    """Mapping with ``_target_`` of a callable ``criterion(output, batch)`` that returns a loss."""
    freeze: str | tuple[str, ...] | None = None
    """Selectors (dotted fragments of names) of parameters that are not trained."""
    num_device: int | None = None
    """Devices per node that the user asked for; null means 1."""
    stats_dir: str | None = None
    """Where ``collect_stats`` writes."""
    others: dict[str, Any] = rest("keys that other parts of training read")

    def __post_init__(self) -> None:
        if self.dataset is None:
            raise MissingConfigError("must be set", key="dataset")
        if self.uses_iterators("train") != self.uses_iterators("valid"):
            raise SettingError(
                "Train and valid should have the same type of dataloader: set `iter_factory` for"
                " both or for neither",
                key="dataloader",
            )

    @property
    def frozen(self) -> tuple[str, ...]:
        """The selectors of ``freeze`` as a tuple."""
        if self.freeze is None:
            return ()
        return (self.freeze,) if isinstance(self.freeze, str) else self.freeze

    def loader(self, mode: str) -> dict[str, Any]:
        """Return the section of one data loader; empty if it is absent."""
        return dict((self.dataloader or {}).get(mode) or {})

    def uses_iterators(self, mode: str) -> bool:
        """Tell whether batches of ``mode`` come from an ``iter_factory``."""
        section = self.loader(mode)
        return section.get("iter_factory") is not None and section.get("loader") is None


def stats_arguments(settings: ModuleSettings) -> list[dict[str, Any]]:
    """Return the arguments of ``collect_stats``, once per split.

    Raises:
        SettingError: If ``stats_dir`` is not set.
    """
    if settings.stats_dir is None:
        raise SettingError("stats_dir must be set to collect statistics", key="stats_dir")
    others = settings.others
    options = parse_settings(others.get("collect_stats"), CollectStatsSettings, key="collect_stats")
    return [
        {
            "model_config": others.get("model"),
            "dataset_config": settings.dataset,
            "dataloader_config": settings.dataloader or {},
            "mode": mode,
            "output_dir": Path(settings.stats_dir),
            "task": others.get("task"),
            "parallel_config": others.get("parallel"),
            "write_collected_feats": options.write_collected_feats,
            "batch_size": options.batch_size,
            "keys": options.keys,
            "augment": options.augment,
            "resume": options.resume,
            "lengths_only": options.lengths_only,
        }
        for mode in options.modes
    ]
