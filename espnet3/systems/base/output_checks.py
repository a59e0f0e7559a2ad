"""What ``infer`` and ``pack_model`` need from the stages before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from espnet3.components.data.reference_checks import ORGANIZER
from espnet3.errors import ConfigError, MissingConfigError, did_you_mean
from espnet3.systems.base.model_files import (
    configured_criteria,
    iter_model_files,
    may_be_written,
    written_names,
)
from espnet3.systems.base.settings import InferenceSettings
from espnet3.utils.key_accounting import Finding
from espnet3.utils.run_checks import RunRequest, run_first
from espnet3.utils.settings import parse_settings
from espnet3.utils.writer_utils import ArtifactSettings

_OUTPUT_MODULE = "espnet3.systems.asr.outputs"
_DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu", "hpu", "npu", "mtia", "xla", "meta")
_OUTPUT_FIELDS = ("utt_id", "hyp", "ref")
_FURTHER_FIELDS = {"build_scored_output": ("confidence",)}


def check_inference(run: RunRequest) -> Iterator[Finding]:
    """Check the sections of inference.yaml and the files of the model."""
    try:
        settings = parse_settings(run.section("inference"), InferenceSettings, key="")
        if run.is_target("inference.dataset", ORGANIZER):
            settings.test_names()
    except ConfigError as error:
        key = (error.key or "").removeprefix("inference_config.")
        yield run.finding(f"inference.{key}", error)
        return
    yield from _check_artifacts(run)
    yield from _check_device(run)
    model = run.get("inference.model")
    if model is None:
        absent = MissingConfigError("names no model", hint="set model._target_")
        yield run.finding("inference.model", absent)
    for key, path in iter_model_files(model):
        yield from _check_model_file(run, f"inference.{key}", path)


def _check_device(run: RunRequest) -> Iterator[Finding]:
    """Check the name of the device; a model of the user may know other names."""
    is_ours = str(run.get("inference.model._target_")).startswith("espnet3.")
    for key in ("inference.device", "inference.model.device"):
        device = str(run.get(key, "cpu"))
        kind, _, index = device.partition(":")
        hint = did_you_mean(kind, _DEVICE_TYPES)
        is_known = kind in _DEVICE_TYPES and (index.isdigit() or ":" not in device)
        if device and not is_known and (is_ours or hint):
            hint = hint or "for example cpu, cuda or cuda:1"
            yield run.finding(key, ConfigError("is not a device", value=device, hint=hint))


def _check_artifacts(run: RunRequest) -> Iterator[Finding]:
    fields = written_fields(run)
    for name, section in (run.get("inference.output_artifacts") or {}).items():
        key = f"output_artifacts.{name}"
        if fields and name not in fields:
            hint = did_you_mean(name, fields) or "it writes: " + ", ".join(fields)
            error = ConfigError("infer writes no such field", hint=hint)
            yield run.finding(f"inference.{key}", error)
        if isinstance(section, Mapping) and section.get("writer") is not None:
            continue
        try:
            parse_settings(section, ArtifactSettings, key=key)
        except ConfigError as wrong:
            yield run.finding(f"inference.{wrong.key or key}", wrong)


def _check_model_file(run: RunRequest, key: str, path: str) -> Iterator[Finding]:
    if run.exists(path):
        return
    exp_dir = run.get("training.exp_dir")
    is_direct = exp_dir is not None and Path(path).absolute().parent == Path(exp_dir).absolute()
    if not is_direct or not run.runs("train"):
        yield from run.need_file(key, path)
        return
    criteria = configured_criteria(run)
    if not may_be_written(Path(path).name, criteria) and not run.has_own_stage():
        names = written_names(criteria)
        hint = did_you_mean(Path(path).name, names) or "it writes: " + ", ".join(names)
        error = ConfigError("train writes no such file", value=path, hint=hint)
        yield run.finding(key, error)


def written_fields(run: RunRequest) -> list[str]:
    """Return the fields that ``infer`` writes; none when nobody can tell."""
    keys = run.get("inference.output_keys")
    if keys is not None:
        return [keys] if isinstance(keys, str) else list(keys)
    function = run.owner_of_function("inference.output_fn") or ""
    module, _, name = function.rpartition(".")
    return [*_OUTPUT_FIELDS, *_FURTHER_FIELDS.get(name, ())] if module == _OUTPUT_MODULE else []


def check_pack(run: RunRequest) -> Iterator[Finding]:
    """Check that there is, or will be, an experiment to pack, and what else is to be packed."""
    yield from _check_listed(run)
    exp_dir = run.get("training.exp_dir")
    if run.runs("train") or run.has_own_stage() or exp_dir is None:
        return
    if not Path(exp_dir).is_dir():
        error = MissingConfigError("no such folder", value=exp_dir, hint=run_first("train"))
        yield run.finding("training.exp_dir", error)


def _check_listed(run: RunRequest) -> Iterator[Finding]:
    """Report further paths that are misspelt; others may be absent, and packing says so."""
    for name in ("include", "extra"):
        for key, path in run.texts(f"publication.pack_model.{name}"):
            is_known = run.exists(path) or (run.producer(path) or "") in run.stages
            hint = None if is_known or run.has_own_stage() else run.similar(path)
            if hint is not None:
                error = MissingConfigError("no such file or folder", value=path, hint=hint)
                yield run.finding(key, error)
