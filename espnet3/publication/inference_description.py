"""What an inference config says about its model: found, checked and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import BundleError, ConfigError
from espnet3.publication import bundle
from espnet3.publication.resolution_limit import limited_resolution
from espnet3.publication.session_backend import InputKey, Trust
from espnet3.publication.untrusted_files import BundleInspector
from espnet3.utils.config_utils import load_config_with_defaults, to_plain

_USED_KEYS = (
    "model", "input_key", "output_fn", "provider", "device", "device_index", "local_rank",
)  # fmt: skip


def find_inference_config(
    artifacts: Mapping[str, Any], metadata: Mapping[str, Any], root: Path | None
) -> Path | None:
    """Return the artifact that is the inference config of a bundle, or where such a file lies."""
    for name in (metadata.get("inference_config_key"), "inference_config"):
        if isinstance(name, str) and name in artifacts:
            return Path(artifacts[name])
    default = root / bundle.INFERENCE_CONFIG if root is not None else None
    return default if default is not None and default.is_file() else None


def load_described(path: Path, root: Path, trust: Trust) -> dict[str, Any]:
    """Read what an inference config of a bundle says about its model, after checking it.

    Raises:
        BundleError: If it lies outside of the bundle.
        UntrustedCodeError: If it wants something that only trust allows.
        ConfigError: If it cannot be read or resolved.
    """
    if trust.trust_user_code:
        return _read_described(path, root)
    if not bundle.is_member(path, root):
        raise BundleError(f"the inference config {path} lies outside of the bundle {root}")
    inspector = BundleInspector(root)
    inspector.check_config(path)
    with limited_resolution():
        config = _read_described(path, root)
    inspector.check_model(config.get("model"))
    return config


def _read_described(path: Path, root: Path) -> dict[str, Any]:
    try:
        return resolve_used(load_config_with_defaults(path, resolve=False), root)
    except OmegaConfBaseException as error:
        raise ConfigError(f"cannot be resolved: {error}", file=path) from error


def resolve_used(config: DictConfig, root: Path | None) -> dict[str, Any]:
    """Return the sections that a session needs as plain data; others need not even resolve."""
    copy = config.copy()
    if root is not None:
        copy["recipe_dir"] = str(root)
    keys = [key for key in (*_USED_KEYS, "recipe_dir") if key in copy]
    return {key: to_plain(OmegaConf.select(copy, key)) for key in keys}


def as_config(config: Mapping[str, Any] | DictConfig) -> DictConfig:
    """Return a mapping as a configuration."""
    return config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))


def read_input_key(config: Mapping[str, Any]) -> InputKey:
    """Return the name or names of the inputs of the model."""
    key = config.get("input_key") or "speech"
    return list(key) if isinstance(key, list | tuple | ListConfig) else str(key)
