"""Let the names of one experiment propagate between the configurations of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import ConfigError
from espnet3.utils.config_resolution import null_reference, resolve_config
from espnet3.utils.config_sources import attach_sources, get_sources, locate

_IDENTITY = ("exp_tag", "exp_dir")
_FLOW = (
    ("training_config", "inference_config", _IDENTITY),
    ("training_config", "metrics_config", _IDENTITY),
    ("training_config", "publication_config", _IDENTITY),
    ("training_config", "demo_config", _IDENTITY),
    ("inference_config", "metrics_config", (*_IDENTITY, "inference_dir")),
    ("inference_config", "publication_config", ("inference_dir",)),
)


def apply_training_experiment_context(
    *,
    training_config: DictConfig | None,
    inference_config: DictConfig | None,
    metrics_config: DictConfig | None,
    publication_config: DictConfig | None = None,
    demo_config: DictConfig | None = None,
    log: logging.Logger,
) -> None:
    """Copy ``exp_tag``, ``exp_dir`` and ``inference_dir`` to the configurations that follow.

    Training leads inference, metrics, publication and demo; inference leads metrics and
    publication. A value that is absent, null, blank or built from a null key is not copied. The
    configurations are changed in place and should not be resolved yet.

    Args:
        training_config: Source of the experiment's name, if given.
        inference_config: Source of the inference directory, if given.
        metrics_config: Follows both.
        publication_config: Follows both.
        demo_config: Follows training.
        log: Gets INFO for a value that was set and WARNING for one that was replaced.
    """
    slots: Mapping[str, DictConfig | None] = {
        "training_config": training_config,
        "inference_config": inference_config,
        "metrics_config": metrics_config,
        "publication_config": publication_config,
        "demo_config": demo_config,
    }
    for source_name, target_name, keys in _FLOW:
        source, target = slots[source_name], slots[target_name]
        if source is None or target is None:
            continue
        for key in keys:
            new, old = known_value(source, key), known_value(target, key)
            if new is None or _is_same(key, old, new):
                continue
            target[key] = new
            attach_sources(target, borrowed=get_sources(target).borrowed | {key})
            if old is None or _is_template_value(target, key):
                log.info("Inserted %s.%s from %s", target_name, key, source_name)
            else:
                log.warning(
                    "Overriding %s.%s with %s value: %r -> %r",
                    target_name,
                    key,
                    source_name,
                    old,
                    new,
                )


def _is_template_value(config: DictConfig, key: str) -> bool:
    """Tell whether a value is a default that no file of the recipe and no ``--set`` gives."""
    place, main = locate(config, key), get_sources(config).file
    if place is None or main is None or place.file.startswith("--set"):
        return False
    return not Path(place.file).resolve().is_relative_to(Path(main).resolve().parent)


def resolve_loaded_configs(*configs: DictConfig | None) -> None:
    """Resolve configurations in place; ``None`` is skipped.

    Interpolations whose file an earlier stage of the run may still write stay as they are. Calling
    this again, at the start of a stage, resolves those whose file exists by then.

    Raises:
        InterpolationKeyError: If an interpolation names a key that does not exist.
        InterpolationResolutionError: If it cannot be resolved for another reason.
    """
    for config in configs:
        if config is not None:
            resolve_config(config, late_files=True)


def validate_experiment_context(
    *,
    training_config: DictConfig | None,
    inference_config: DictConfig | None,
    metrics_config: DictConfig | None,
    stages_to_run: Sequence[str],
) -> None:
    """Check that ``infer`` and ``measure`` know which experiment they belong to.

    Raises:
        ConfigError: If a requested one of them has neither a training configuration nor an
            experiment name of its own.
    """
    if training_config is not None:
        return
    checks = (
        ("infer", "inference_config", inference_config),
        ("measure", "metrics_config", metrics_config),
    )
    for stage, slot, config in checks:
        if stage not in stages_to_run or config is None or has_identity(config):
            continue
        if stage == "measure" and known_value(config, "inference_dir") is not None:
            continue
        raise ConfigError(
            f"{stage} stage requires --training_config, or {slot} with a concrete exp_tag/exp_dir"
        )


def has_identity(config: DictConfig) -> bool:
    """Tell whether a configuration names its experiment, by ``exp_tag`` or ``exp_dir``."""
    return any(known_value(config, key) is not None for key in _IDENTITY)


def known_value(config: DictConfig, key: str) -> Any:
    """Return a value as it resolves now.

    Returns:
        ``None`` when the key is absent, null, blank, the text ``None`` (which YAML does not take
        for null), missing, cannot be resolved, or is a path built from a null key.
    """
    try:
        value = config.get(key)
    except OmegaConfBaseException:
        return None
    if value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        return None
    is_path = key.endswith("_dir") and isinstance(value, str)
    if is_path and ("None" in PurePath(value).parts or null_reference(config, key) is not None):
        return None
    return value


def _is_same(key: str, old: Any, new: Any) -> bool:
    if key.endswith("_dir") and isinstance(old, str) and isinstance(new, str):
        return PurePath(old) == PurePath(new)
    return bool(old == new)
