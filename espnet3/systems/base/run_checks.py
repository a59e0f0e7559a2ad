"""What the stages of the base system need from each other and from their configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.components.data.reference_checks import ORGANIZER
from espnet3.components.modeling.settings import ModuleSettings
from espnet3.components.optimizers.settings import read_optimization
from espnet3.errors import ConfigError, MissingConfigError, SettingError, did_you_mean
from espnet3.systems.base.measure_checks import check_measure
from espnet3.systems.base.model_section import check_model
from espnet3.systems.base.monitored_metrics import check_modes
from espnet3.systems.base.output_checks import check_inference, check_pack
from espnet3.systems.base.settings import TrainingSettings
from espnet3.systems.base.token_lists import check_token_lists
from espnet3.utils.key_accounting import Finding
from espnet3.utils.placeholders import find_placeholders
from espnet3.utils.run_checks import RunRequest
from espnet3.utils.settings import parse_settings
from espnet3.utils.stage_logs import LOG_MODES

_MODES = ("train", "valid")
_PLATEAU = "torch.optim.lr_scheduler.ReduceLROnPlateau"
_USER_SECTIONS = ("dataset_dir", "create_dataset", "dataset", "model")


def check_stages(run: RunRequest) -> Iterator[Finding]:
    """Check what each requested stage needs, in the order of the pipeline."""
    yield from _check_placeholders(run)
    yield from _check_log_mode(run)
    if run.runs("collect_stats") or run.runs("train"):
        yield from _check_training(run)
    if run.runs("train"):
        if run.get("training.lightning_module") is None:
            yield from _check_optimization(run)
            yield from _check_devices(run)
            yield from check_modes(run)
        yield from _check_loaders(run)
        yield from _check_start(run)
    if run.runs("infer"):
        yield from check_inference(run)
    if run.runs("measure"):
        yield from check_measure(run)
    if run.runs("pack_model"):
        yield from check_pack(run)


def _check_placeholders(run: RunRequest) -> Iterator[Finding]:
    hint = "replace the placeholder by a value of your own"
    for slot in ("training", "inference"):
        for section in _USER_SECTIONS:
            for key, text in find_placeholders(run.get(f"{slot}.{section}"), f"{slot}.{section}"):
                error = MissingConfigError("must be set", value=text, key=key, hint=hint)
                yield run.finding(key, error)
    if run.runs("upload_model"):
        key = "publication.upload_model.hf_repo"
        for _, text in find_placeholders(run.get(key), key):
            yield run.finding(
                key, MissingConfigError("must be set", value=text, key=key, hint=hint)
            )


def _check_log_mode(run: RunRequest) -> Iterator[Finding]:
    key = "training.stage_log_mode"
    mode = str(run.get(key, LOG_MODES[0]))
    if mode.lower() not in LOG_MODES:
        hint = did_you_mean(mode.lower(), LOG_MODES) or f"one of {', '.join(LOG_MODES)}"
        yield run.finding(key, ConfigError("is not a log mode", value=mode, hint=hint))


def _check_training(run: RunRequest) -> Iterator[Finding]:
    """Check the model and the data, as far as ``collect_stats`` needs them too."""
    plain = run.section("training")
    waits = "model" in run.configs["training"] and "model" not in plain
    if waits or (run.get("training.collect_stats.lengths_only") and not run.runs("train")):
        yield from _attempt(run, lambda: parse_settings(plain, TrainingSettings, key=""))
    else:
        yield from _attempt(
            run, lambda: check_model(parse_settings(plain, TrainingSettings, key=""))
        )
    if run.get("training.lightning_module") is not None:
        return
    yield from _attempt(run, lambda: parse_settings(plain, ModuleSettings, key=""))
    if run.runs("train"):
        yield from _attempt(run, lambda: check_token_lists(plain))
    if run.is_target("training.dataset", ORGANIZER):
        may_lack = ("valid",) if run.get("training.dataset.allow_missing_valid") else ()
        for mode in _MODES:
            key = f"training.dataset.{mode}"
            if not run.get(key) and mode not in may_lack:
                hint = "for example `- data_src_args: {split: " + mode + "}`"
                error = MissingConfigError("must list at least one data set", key=key, hint=hint)
                yield run.finding(key, error)


def _check_optimization(run: RunRequest) -> Iterator[Finding]:
    yield from _attempt(run, lambda: read_optimization(run.section("training")))
    key = "training.scheduler_monitor"
    monitor, scheduler = run.get(key), run.get("training.scheduler")
    if monitor is not None and scheduler is None:
        error = SettingError("is not read, because scheduler is null", key=key, value=monitor)
        yield run.finding(key, error)
    if monitor is None and isinstance(scheduler, Mapping) and scheduler.get("_target_") == _PLATEAU:
        absent = MissingConfigError(
            "must be set: this schedule follows a metric", key=key, hint="for example valid/loss"
        )
        yield run.finding(key, absent)


def _check_devices(run: RunRequest) -> Iterator[Finding]:
    """Compare what is asked for with what Lightning is told, where both are numbers."""
    for ours, theirs in (("num_device", "devices"), ("num_nodes", "num_nodes")):
        wanted, given = run.get(f"training.{ours}", 1), run.get(f"training.trainer.{theirs}", 1)
        count = len(given) if isinstance(given, list) else given
        if isinstance(count, int) and 0 < count != wanted:
            key = f"training.trainer.{theirs}"
            hint = f"set {ours} only: trainer.{theirs} is ${{{ours}}} by default"
            error = SettingError(f"differs from {ours} = {wanted}", key=key, value=given, hint=hint)
            yield run.finding(key, error)


def _check_loaders(run: RunRequest) -> Iterator[Finding]:
    for mode in _MODES:
        key = f"training.dataloader.{mode}"
        loader, factory = run.get(f"{key}.loader"), run.get(f"{key}.iter_factory")
        if loader is not None and factory is not None and _share_file(run, key):
            error = SettingError(
                "is not read while `loader` is set, and the file sets both",
                key=f"{key}.iter_factory",
                hint="keep one of them",
            )
            yield run.finding(f"{key}.iter_factory", error)
        if loader == "native":
            yield from _check_native(run, mode, key)
        elif loader is None:
            for index, file in enumerate(run.get(f"{key}.iter_factory.batches.shape_files") or []):
                path = f"{key}.iter_factory.batches.shape_files[{index}]"
                yield from _need_lengths(run, path, str(file))


def _share_file(run: RunRequest, key: str) -> bool:
    places = [run.place(f"{key}.{name}") for name in ("loader", "iter_factory")]
    return None not in places and len({place.file for place in places if place}) == 1


def _check_native(run: RunRequest, mode: str, key: str) -> Iterator[Finding]:
    given = run.get(f"{key}.shape_file")
    if given is not None:
        yield from _need_lengths(run, f"{key}.shape_file", str(given))
        return
    stats_dir = run.get("training.stats_dir")
    if stats_dir is None:
        hint = f"set stats_dir, or dataloader.{mode}.shape_file"
        message = "must be set: the native loader takes lengths from collect_stats"
        yield run.finding(
            "training.stats_dir", MissingConfigError(message, key="stats_dir", hint=hint)
        )
        return
    unit = run.get(f"{key}.length_unit", "frames")
    name = "feats_shape" if unit == "frames" else "speech_shape"
    yield from _need_lengths(run, f"{key}.loader", f"{stats_dir}/{mode}/{name}")


def _need_lengths(run: RunRequest, key: str, path: str) -> Iterator[Finding]:
    """Report lengths that are absent and that ``collect_stats`` will not write."""
    stats_dir = run.get("training.stats_dir")
    is_collected = isinstance(stats_dir, str) and Path(path).is_relative_to(stats_dir)
    lengths_only = run.get("training.collect_stats.lengths_only", False)
    if is_collected and lengths_only and Path(path).name != "speech_shape":
        if not run.exists(path):
            error = SettingError(
                f"needs {path}, but with collect_stats.lengths_only collect_stats writes"
                " speech_shape only",
                key=key,
                hint="set length_unit: samples, or collect_stats.lengths_only: false",
            )
            yield run.finding(key, error)
        return
    yield from run.need_file(key, path)


def _check_start(run: RunRequest) -> Iterator[Finding]:
    """Check the files that training starts from; they must exist already."""
    checkpoint = run.get("training.fit.ckpt_path")
    files = {
        "training.init_from.path": run.get("training.init_from.path"),
        "training.fit.ckpt_path": None if checkpoint == "auto" else checkpoint,
    }
    for key, path in files.items():
        if path is not None and not run.exists(path) and not run.has_own_stage():
            error = MissingConfigError("no such file", key=key, value=path, hint="correct the path")
            yield run.finding(key, error)


def _attempt(run: RunRequest, step: Callable[[], Any]) -> Iterator[Finding]:
    try:
        step()
    except ConfigError as error:
        yield run.finding(f"training.{error.key or ''}", error)
