"""Which top-level keys each configuration slot has, and what stands under them. Data only.

Sections that the framework owns name the settings dataclass of the code that reads them, as a
dotted path: this module lies below all of them and imports none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Key:
    """What one top-level key may hold; null is always allowed."""

    type: Any = Any
    """Annotation that the value must fit, as in a settings class."""
    settings: str | None = None
    """Dotted path of the settings class of a section."""
    is_list: bool = False
    """The value is a list of such sections."""
    is_import_path: bool = False
    """The value is the dotted path of a function or class."""


_TEXT = Key(type=str)
_NAME = Key(type=str | int)
_COUNT = Key(type=int)
_FLAG = Key(type=bool)
_MAPPING = Key(type=dict[str, Any])
_PATH = Key(type=Path)
_IMPORT_PATH = Key(type=str, is_import_path=True)
_FREE = Key()

_PARALLEL = Key(settings="espnet3.parallel.settings.ParallelSettings")
_EXPERIMENT = {"recipe_dir": _PATH, "exp_tag": _NAME, "exp_dir": _PATH, "strict": _FLAG}

SLOT_KEYS: dict[str, dict[str, Key]] = {
    "training": {
        **_EXPERIMENT,
        "num_device": _COUNT,
        "num_nodes": _COUNT,
        "task": _TEXT,
        "data_dir": _PATH,
        "stats_dir": _PATH,
        "dataset_dir": _PATH,
        "create_dataset": _MAPPING,
        "dataset": _MAPPING,
        "tokenizer": Key(settings="espnet3.systems.asr.settings.TokenizerSettings"),
        "model": _MAPPING,
        "criterion": _MAPPING,
        "optimizer": _MAPPING,
        "scheduler": _MAPPING,
        "scheduler_interval": Key(type=Literal["step", "epoch"]),
        "scheduler_monitor": _TEXT,
        "best_model_criterion": Key(type=list[Any]),
        "seed": _COUNT,
        "init": _TEXT,
        "init_from": Key(settings="espnet3.systems.base.settings.InitFromSettings"),
        "freeze": Key(type=str | list[str]),
        "parallel": _PARALLEL,
        "stage_log_mode": _TEXT,
        "rank_timeout": Key(type=float),
        "collect_stats": Key(settings="espnet3.components.data.settings.CollectStatsSettings"),
        "dataloader": Key(settings="espnet3.components.data.settings.DataloaderSettings"),
        "lightning_module": _MAPPING,
        "trainer_class": _IMPORT_PATH,
        "trainer": Key(settings="espnet3.components.trainers.settings.TrainerSettings"),
        "fit": _MAPPING,
    },
    "inference": {
        **_EXPERIMENT,
        "data_dir": _PATH,
        "inference_dir": _PATH,
        "dataset": _MAPPING,
        "model": _MAPPING,
        "input_key": Key(type=str | list[str]),
        "output_fn": _IMPORT_PATH,
        "output_keys": Key(type=str | list[str]),
        "idx_key": _TEXT,
        "batch_size": _COUNT,
        "output_artifacts": _MAPPING,
        "parallel": _PARALLEL,
        "provider": _MAPPING,
        "runner": _MAPPING,
        "device": _NAME,
        "device_index": _COUNT,
        "local_rank": _COUNT,
        "test_set": _TEXT,
    },
    "metrics": {
        **_EXPERIMENT,
        "inference_dir": _PATH,
        "dataset": _MAPPING,
        "metrics": Key(settings="espnet3.systems.base.settings.MetricSettings", is_list=True),
        "allow_incomplete": _FLAG,
        "merge": _FLAG,
    },
    "publication": {
        **_EXPERIMENT,
        "data_dir": _PATH,
        "inference_dir": _PATH,
        "pack_model": Key(settings="espnet3.publication.settings.PackSettings"),
        "upload_model": Key(settings="espnet3.publication.settings.UploadSettings"),
    },
    "demo": {
        **_EXPERIMENT,
        "system": _TEXT,
        "infer_config": _PATH,
        "output_keys": _MAPPING,
        "extra_kwargs": _MAPPING,
        "ui": _FREE,
        "inference": _MAPPING,
        "requirements": _FREE,
        "readme_template": _PATH,
        "pack": _MAPPING,
        "model": _MAPPING,
        "upload_demo": _MAPPING,
    },
}
"""Slot name without ``_config`` to its keys."""

IMPORT_PATHS = ("tokenizer.text_builder.func",)
"""Further keys, below the top level, that hold the dotted path of a function."""
