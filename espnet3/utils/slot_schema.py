"""Which top-level keys each configuration slot has, and what stands under them. Data only.

Sections that the framework owns name the settings dataclass of the code that reads them, as a
dotted path: this module lies below all of them and imports none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


InitMethod = Literal[
    "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "normal", "chainer"
]
"""How the weights of a new model may be drawn."""

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
        "task": _IMPORT_PATH,
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
        "init": Key(type=InitMethod),
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
        "fit": Key(settings="espnet3.components.trainers.settings.FitSettings"),
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
        "execution": Key(settings="espnet3.components.inference.settings.ExecutionSettings"),
        "contract": _FREE,
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
        "confidence": Key(settings="espnet3.systems.base.settings.ConfidenceSettings"),
        "breakdown": Key(type=list[str]),
        "metadata": Key(type=Path | dict[str, Path]),
        "compare_with": _PATH,
        "parallel": _PARALLEL,
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
        "output_keys": Key(type=dict[str, str]),
        "extra_kwargs": _MAPPING,
        "ui": Key(settings="espnet3.demo.settings.UiSettings"),
        "inference": Key(settings="espnet3.demo.settings.DemoInferenceSettings"),
        "requirements": Key(type=list[str]),
        "readme_template": _PATH,
        "pack": Key(settings="espnet3.demo.settings.PackDemoSettings"),
        "model": Key(settings="espnet3.demo.settings.DemoModelSettings"),
        "upload_demo": Key(settings="espnet3.demo.settings.UploadDemoSettings"),
    },
}
"""Slot name without ``_config`` to its keys."""

IMPORT_PATHS = (
    "tokenizer.text_builder.func",
    "ui.builder",
    "inference.provider_class",
    "inference.runner_class",
    "extra_kwargs.output_fn_path",
)
"""Further keys, below the top level, that hold the dotted path of a function."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a ``_target_`` mapping gets besides the keys that stand beside ``_target_``."""

    num_positional: int = 0
    """Positional arguments of the framework."""
    supplied: tuple[str, ...] = ()
    """Keyword arguments of the framework; they win over the mapping."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys that the framework takes out of the mapping, and their types."""
    groups: str | None = None
    """The key among these that lists groups of parameters, each with arguments of its own."""
    is_partly_known: bool = False
    """The framework may give further arguments."""


_SCHEDULES = "espnet3.components.optimizers.settings"
_LOADER = r"dataloader\.(train|valid)\."
CALLS: dict[str, Call] = {
    r"training:optimizer": Call(
        num_positional=1,
        extra={"param_groups": list[dict[str, Any]], "no_decay": list[str]},
        groups="param_groups",
    ),
    r"training:scheduler": Call(supplied=("optimizer",)),
    r"training:lightning_module": Call(supplied=("model", "config")),
    rf"training:{_LOADER}loader": Call(num_positional=1, supplied=("collate_fn",)),
    rf"training:{_LOADER}(batch_)?sampler": Call(num_positional=1),
    rf"training:{_LOADER}iter_factory": Call(num_positional=1, extra={"batches": Any}),
    r"inference:model": Call(supplied=("device",), extra={"device": str}),
    r"inference:(provider|runner)": Call(is_partly_known=True),
}
"""``slot:key`` (a regular expression) to what is special about building it."""


@dataclass(frozen=True, kw_only=True)
class Argument:
    """What an argument of a class of ours may hold, where its annotation cannot say it."""

    settings: str | None = None
    """Dotted path of the settings class of the value, or of each item of a list."""
    function: str | None = None
    """Dotted path of a function whose arguments are the keys of the value."""
    types: str | None = None
    """Dotted path of a table: value of the key ``type`` to the class that takes the other keys."""
    follows: tuple[str, ...] = ()
    """Arguments of those classes that the owner works out itself."""


_PART_TYPES = "espnet3.systems.asr.settings.PART_TYPES"
_ENTRY = Argument(settings="espnet3.components.data.settings.DatasetEntrySettings")
ARGUMENTS: dict[str, dict[str, Argument]] = {
    "espnet3.systems.asr.models.asr_model.ASRModel": {
        part: Argument(types=f"{_PART_TYPES}.{part}", follows=("input_size", "feat_dim"))
        for part in ("frontend", "specaug", "normalize", "encoder")
    },
    "espnet3.components.data.data_organizer.DataOrganizer": {
        "train": _ENTRY,
        "valid": _ENTRY,
        "test": _ENTRY,
    },
    "espnet3.components.data.iterators.SequenceIterFactory": {
        "batches": Argument(function="espnet3.components.data.samplers.build_batch_sampler"),
    },
}
"""Class, by the path where it is defined, to its arguments."""

REST_ARGUMENTS: dict[str, str] = {
    "espnet3.components.data.iterators.SequenceIterFactory": (
        "espnet3.components.data.settings.DATALOADER_OPTIONS"
    ),
    "espnet3.systems.base.inference_runner.InferenceRunner": (
        "espnet3.parallel.settings.RUNNER_OPTIONS"
    ),
}
"""Class with ``**kwargs``, by the path where it is defined, to the names that may be in them."""

RUN_CHECKS = (
    "espnet3.components.data.reference_checks.check_datasets",
    "espnet3.systems.base.run_checks.check_stages",
    "espnet3.systems.asr.run_checks.check_asr",
    "espnet3.demo.run_checks.check_demo",
)
"""Functions of a :class:`~espnet3.utils.run_checks.RunRequest` that yield findings."""

TARGET_SETTINGS: dict[str, str] = {
    f"espnet3.components.optimizers.schedulers.{name}": f"{_SCHEDULES}.{name}Settings"
    for name in ("WarmupLR", "LinearWarmupCosineLR", "WarmupStableDecayLR")
}
"""Class, by the path where it is defined, to the settings class that checks its arguments."""
