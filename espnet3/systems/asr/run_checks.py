"""What a speech recogniser needs from the tokenizer and from ``collect_stats``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, MissingConfigError, SettingError, did_you_mean
from espnet3.systems.asr.settings import (
    MODEL_STATS,
    PARAMETER_PARTS,
    PART_TYPES,
    TokenizerSettings,
)
from espnet3.systems.base.monitored_metrics import check_names
from espnet3.utils.key_accounting import Finding
from espnet3.utils.layer_sizes import check_conformer_sizes
from espnet3.utils.run_checks import RunRequest
from espnet3.utils.settings import parse_settings

_MODEL = "espnet3.systems.asr.models.asr_model.ASRModel"
_CONFORMER_SIZES = ("output_size", "attention_heads", "cnn_kernel")
_PREPROCESSORS = (
    "espnet3.components.data.preprocessor.CommonPreprocessor",
    "espnet2.train.preprocessor.CommonPreprocessor",
)


def check_asr(run: RunRequest) -> Iterator[Finding]:
    """Check the tokenizer, and sizes, files and metric names of the native model."""
    if run.runs("train_tokenizer") or run.runs("train"):
        yield from _check_tokenizer(run)
    if not run.runs("train"):
        return
    model, task = run.is_target("training.model", _MODEL), run.get("training.task")
    files = ["training.model.token_list"] if model or task else []
    if run.owner("training.dataset.preprocessor") in _PREPROCESSORS:
        files += [f"training.dataset.preprocessor.{key}" for key in ("token_list", "bpemodel")]
    for key in files:
        path = run.get(key)
        if isinstance(path, str):
            yield from _check_tokenizer_file(run, key, path)
    if model:
        yield from _check_encoder(run)
        yield from _check_normalizer(run)
        yield from check_names(run, MODEL_STATS)
        yield from _check_freeze(run)
    if task:
        yield from _check_task_stats(run)


def _check_tokenizer(run: RunRequest) -> Iterator[Finding]:
    """Check that a tokenizer that is to be trained has its text and its folder."""
    section = run.get("training.tokenizer")
    settings = None if section is None else _read_tokenizer(section)
    if isinstance(settings, ConfigError):
        yield run.finding(f"training.{settings.key}", settings)
    elif settings and settings.text_builder.func is None and not settings.is_trained():
        hint = "the dotted path of a function, for example src.tokenizer.gather_training_text"
        absent = MissingConfigError("must be set", hint=hint)
        yield run.finding("training.tokenizer.text_builder.func", absent)


def _read_tokenizer(section: Any) -> TokenizerSettings | ConfigError:
    try:
        return parse_settings(section, TokenizerSettings, key="tokenizer")
    except ConfigError as error:
        return error


def _check_encoder(run: RunRequest) -> Iterator[Finding]:
    """Check sizes that the encoder would refuse when it is built, after the data."""
    key = "training.model.encoder"
    encoder = run.get(key)
    if encoder is None:
        hint = "for example {type: conformer, output_size: 256}"
        yield run.finding(key, MissingConfigError("must be set", hint=hint))
    elif encoder.get("type") == "conformer":
        sizes = {name: encoder.get(name) for name in _CONFORMER_SIZES}
        try:
            check_conformer_sizes(**sizes)
        except ConfigError as error:
            yield run.finding(f"{key}.{error.key}", error)


def _check_freeze(run: RunRequest) -> Iterator[Finding]:
    """Check what is to be frozen, unless a part of the model is a class of the user."""
    if any(run.get(f"training.model.{part}._target_") for part in PART_TYPES):
        return
    for key, selector in run.texts("training.freeze"):
        for part in selector.split("."):
            if not part.isdigit() and part not in PARAMETER_PARTS:
                hint = did_you_mean(part, PARAMETER_PARTS) or "top level: encoder, ctc"
                message = "no parameter of the model has this in its name"
                yield run.finding(key, SettingError(message, value=selector, hint=hint))
                break


def _check_tokenizer_file(run: RunRequest, key: str, path: str) -> Iterator[Finding]:
    """Report a file that is absent and that no tokenizer training will write."""
    if run.exists(path) or run.has_own_stage():
        return
    section = run.get("training.tokenizer")
    folder = run.get("training.tokenizer.save_path")
    if section is None or not Path(path).is_relative_to(str(folder)):
        yield from run.need_file(key, path)
        return
    settings = _read_tokenizer(section)
    names = [] if isinstance(settings, ConfigError) else [file.name for file in settings.files]
    if names and Path(path).name not in names:
        hint = did_you_mean(Path(path).name, names) or "it writes: " + ", ".join(names)
        error = ConfigError("train_tokenizer writes no such file", value=path, hint=hint)
        yield run.finding(key, error)


def _check_task_stats(run: RunRequest) -> Iterator[Finding]:
    """Check the statistics of a task's model, which ESPnet2 would open without a word."""
    key = "training.model.normalize_conf.stats_file"
    path = run.get(key)
    if run.get("training.model.normalize") is None or path is None:
        return
    if run.exists(path) or run.producer(path) == "collect_stats":
        yield from run.need_file(key, str(path))
    elif not run.has_own_stage():
        absent = MissingConfigError(
            "no such file, from the recipe or from a folder above the file that names it",
            value=path,
            hint="set it to the statistics that the model was trained with, for example with"
            f" --set {key}=/path/to/feats_stats.npz",
        )
        yield run.finding(key, absent)


def _check_normalizer(run: RunRequest) -> Iterator[Finding]:
    """Check the statistics of global normalisation, without which it would do nothing."""
    key = "training.model.normalize"
    if run.get(f"{key}.type") != "global_mvn":
        return
    path = run.get(f"{key}.stats_file")
    if path is None:
        hint = "for example ${stats_dir}/train/feats_stats.npz"
        absent = MissingConfigError("must be set: without it nothing is normalised", hint=hint)
        yield run.finding(f"{key}.stats_file", absent)
        return
    lengths_only = run.get("training.collect_stats.lengths_only", False)
    if lengths_only and not run.exists(path) and run.producer(path) == "collect_stats":
        error = SettingError(
            "with collect_stats.lengths_only, collect_stats writes no statistics",
            value=path,
            hint="set collect_stats.lengths_only: false, or another normalize",
        )
        yield run.finding(f"{key}.stats_file", error)
        return
    yield from run.need_file(f"{key}.stats_file", str(path))
