"""What is made small, whatever the recipe. Data and pure functions of plain containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from espnet3.utils.config_merge import walk

TRAINING_UTTERANCES = 16
TEST_UTTERANCES = 4
_BATCH = 4
_ORGANIZER = "espnet3.components.data.data_organizer.DataOrganizer"
_CSV_LOGGER = "lightning.pytorch.loggers.CSVLogger"
_IN_PROCESS = {"env": "local", "n_workers": 1}

_TRAINER: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": "${num_device}",
    "num_nodes": "${num_nodes}",
    "strategy": "auto",
    "max_epochs": 2,
    "max_steps": 8,
    "limit_train_batches": 4,
    "limit_val_batches": 2,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "log_every_n_steps": 1,
    "time_limit": "00:01:00",
}
_TRAINER_WHERE_SET: dict[str, Any] = {
    "precision": "32-true",
    "min_epochs": None,
    "min_steps": None,
    "max_time": None,
    "limit_predict_batches": None,
    "val_check_interval": None,
    "overfit_batches": 0.0,
    "profiler": None,
    "plugins": None,
    "sync_batchnorm": False,
    "save_every_n_steps": None,
}
_LOADER: dict[str, Any] = {
    "num_workers": 0,
    "pin_memory": False,
    "prefetch_factor": None,
    "persistent_workers": False,
    "multiprocessing_context": None,
    "timeout": 0,
}
_LOADER_LIMITS = {"batch_size": _BATCH, "max_batch_size": _BATCH, "min_batch_size": 1}
_SCHEDULER_LIMITS = {"warmup_steps": 2, "decay_start": 4}
_MODEL_LIMITS = {
    "output_size": 32,
    "attention_heads": 2,
    "linear_units": 64,
    "num_blocks": 1,
    "subsampling_channels": 8,
}
"""Sizes of the library's own model parts; a model of the recipe is left to conf/smoke.yaml."""
_DECODING_LIMITS = {"beam_size": 2, "beam": 2}

Values = Iterator[tuple[str, Any]]


def shrink_training(config: Mapping[str, Any]) -> Values:
    """Yield ``(key, value)`` of everything that makes a training configuration small.

    Args:
        config: Merged configuration as plain containers, resolved as far as possible.
    """
    yield from _shrink_data(config, TRAINING_UTTERANCES)
    yield "num_device", 1
    yield "num_nodes", 1
    yield "parallel", _IN_PROCESS
    yield from _shrink_trainer(config.get("trainer") or {}, str(config.get("exp_dir")))
    loaders = config.get("dataloader") or {}
    yield from (
        (f"dataloader.{key}", value)
        for key, value in _with_names(loaders, _LOADER, _LOADER_LIMITS)
        if not key.startswith("collate_fn.")
    )
    yield from _limited(config.get("collect_stats"), {"batch_size": _BATCH}, "collect_stats")
    yield from _limited(config.get("scheduler"), _SCHEDULER_LIMITS, "scheduler")
    model = config.get("model")
    if _is_ours(model):
        yield from _limited(model, _MODEL_LIMITS, "model")
    if config.get("tokenizer"):
        yield "tokenizer.hard_vocab_limit", False
    if (config.get("fit") or {}).get("ckpt_path") is not None:
        yield "fit.ckpt_path", None


def shrink_inference(config: Mapping[str, Any]) -> Values:
    """Yield ``(key, value)`` of everything that makes an inference configuration small."""
    yield from _shrink_data(config, TEST_UTTERANCES)
    yield "device", "cpu"
    yield "parallel", _IN_PROCESS
    yield from _limited(config, {"batch_size": _BATCH}, "", depth=1)
    if _is_ours(config.get("model")):
        yield from _limited(config["model"], _DECODING_LIMITS, "model")


def _shrink_data(config: Mapping[str, Any], count: int) -> Values:
    dataset = config.get("dataset")
    if isinstance(dataset, Mapping) and dataset.get("_target_") == _ORGANIZER:
        yield "dataset.max_utterances", count


def _shrink_trainer(trainer: Mapping[str, Any], exp_dir: str) -> Values:
    for name, value in _TRAINER.items():
        yield f"trainer.{name}", value
    for name, value in _TRAINER_WHERE_SET.items():
        if trainer.get(name) is not None:
            yield f"trainer.{name}", value
    if trainer.get("logger") is not False and not _is_simple(trainer.get("logger"), exp_dir):
        logger = {"_target_": _CSV_LOGGER, "save_dir": "${exp_dir}", "name": "csv_logger"}
        yield "trainer.logger", [logger]


def _is_simple(logger: Any, exp_dir: str) -> bool:
    """Tell whether a logger is the one that writes a table into the experiment."""
    entries = logger if isinstance(logger, list) else [logger]
    return all(
        isinstance(entry, Mapping)
        and entry.get("_target_") == _CSV_LOGGER
        and entry.get("save_dir") == exp_dir
        for entry in entries
    )


def _with_names(
    section: Mapping[str, Any], values: Mapping[str, Any], limits: Mapping[str, int]
) -> Values:
    """Yield new values of the leaves below a section that have one of the names."""
    for key, value in walk(section):
        name = key.rpartition(".")[2]
        if name in values and value is not None:
            yield key, values[name]
        elif name in limits and _exceeds(value, limits[name]):
            yield key, limits[name]


def _limited(section: Any, limits: Mapping[str, int], path: str, depth: int = 99) -> Values:
    if not isinstance(section, Mapping):
        return
    for key, value in _with_names(section, {}, limits):
        if key.count(".") < depth:
            yield f"{path}.{key}" if path else key, value


def _exceeds(value: Any, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > limit


def _is_ours(section: Any) -> bool:
    return isinstance(section, Mapping) and str(section.get("_target_")).startswith("espnet3.")
