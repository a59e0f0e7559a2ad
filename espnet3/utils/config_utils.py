"""Load and merge configurations.

Everything about configuration that recipes and systems use can be imported from here.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import ConfigError, MissingFileError, did_you_mean
from espnet3.utils.config_layers import compose
from espnet3.utils.config_merge import Layer, finish, merge, walk
from espnet3.utils.config_resolution import resolve_config
from espnet3.utils.config_sources import (
    attach_sources,
    find_references,
    get_sources,
    indexed_key,
    locate,
)
from espnet3.utils.espnet2_run import model_options
from espnet3.utils.import_utils import active_target_policy
from espnet3.utils.instantiate import instantiate_config, iter_targets, to_plain
from espnet3.utils.resolvers import OMEGACONF_ESPNET3_RESOLVER, load_line, register_resolvers
from espnet3.utils.types import PathLike

_SLOT_FILES = ("training", "inference", "metrics", "publication", "demo")


def load_config_with_defaults(path: PathLike, resolve: bool = True) -> DictConfig:
    """Load a YAML file together with the files in its ``defaults`` list.

    Args:
        path: YAML file.
        resolve: Replace interpolations by their values; with ``False`` none is evaluated.

    Raises:
        MissingFileError: If the file or an include does not exist.
        ConfigError: If a file is malformed; also a ``yaml.YAMLError`` for a syntax error.
        InterpolationResolutionError: If an interpolation cannot be resolved.
    """
    return _build(compose(path), path, resolve)


def load_default_config(config_name: str, default_package: str) -> DictConfig:
    """Load ``<package>/conf/<config_name>``, composed but unresolved.

    Raises:
        ModuleNotFoundError: If the package cannot be found.
        MissingFileError: If it has no such file.
    """
    path = _package_config(config_name, default_package)
    return _build(compose(path), path, resolve=False)


def load_and_merge_config(
    config_path: PathLike | None,
    config_name: str,
    default_package: str | None = None,
    resolve: bool = True,
) -> DictConfig | None:
    """Load a YAML file over the defaults of its template.

    Args:
        config_path: YAML file of the recipe; ``None`` returns ``None``.
        config_name: File name of the defaults, for example ``training.yaml``.
        default_package: Package whose ``conf`` folder has the defaults; by default
            ``egs3.TEMPLATE.<task>``, with the task taken from a path such as
            ``egs3/<recipe>/<task>/conf/training.yaml``.
        resolve: Replace interpolations by their values; with ``False`` none is evaluated.

    Raises:
        ConfigError: If the package is not given and cannot be inferred, or a file is malformed.
        ModuleNotFoundError: If the package cannot be found.
        MissingFileError: If a file does not exist.
        InterpolationResolutionError: If an interpolation cannot be resolved.
    """
    if config_path is None:
        return None
    package = default_package or infer_default_package(config_path)
    if package is None:
        raise ConfigError(
            "default_package is required when it cannot be inferred from a path like "
            "egs3/<recipe>/<task>/conf/<file>.yaml",
            file=str(config_path),
        )
    return _merge(config_path, config_name, package, resolve)


def infer_default_package(path: PathLike) -> str | None:
    """Return ``egs3.TEMPLATE.<task>`` for a file in a recipe's ``conf`` folder, else ``None``.

    A task without a template, such as ``asr_curriculum``, counts as a variant of the one that its
    name begins with.
    """
    # Links are not followed: the recipe that names the file counts, not where it is stored.
    parts = Path(os.path.abspath(path)).parts[:-1]  # noqa: PTH100
    for start in reversed([i for i, part in enumerate(parts) if part == "egs3"]):
        below = parts[start + 1 :]
        if "conf" in below and below.index("conf") >= 2:
            task = below[below.index("conf") - 1]
            names = [f"egs3.TEMPLATE.{name}" for name in (task, task.partition("_")[0])]
            return next(filter(_is_package, names), names[0])
    return None


def _is_package(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def load_yaml_value(path: PathLike, key: str | None = None) -> Any:
    """Return a value of a YAML file as plain containers, with its own interpolations resolved.

    A file in a recipe's ``conf`` folder that is named after a slot (``training*.yaml``, …) gets the
    defaults of its template. A whole ``config.yaml`` of a training is taken as a section ``model``:
    without our own sections in it.

    Raises:
        ConfigError: If the file has no such key.
    """
    config = _load_for_lookup(Path(path))
    if key is None:
        return model_options(to_plain(config))
    absent = object()
    value = OmegaConf.select(config, key, default=absent)
    if value is absent:
        hint = did_you_mean(key, (name.replace("[", ".") for name, _ in walk(config)))
        raise ConfigError("there is no such key", key=key, file=str(path), hint=hint)
    return to_plain(value)


def _load_for_lookup(path: Path) -> DictConfig:
    package = infer_default_package(path)
    slot = next((name for name in _SLOT_FILES if path.stem.startswith(name)), None)
    if package and slot and importlib.util.find_spec("egs3"):
        return _merge(path, f"{slot}.yaml", package, resolve=False)
    return load_config_with_defaults(path, resolve=False)


def _merge(path: PathLike, config_name: str, package: str, resolve: bool) -> DictConfig:
    name = Path(path).stem
    default = compose(_package_config(config_name, package), self_name=name)
    return _build(merge(default, compose(path, self_name=name)), path, resolve)


def _package_config(config_name: str, package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    folders = spec.submodule_search_locations or []
    for folder in folders:
        path = Path(folder) / "conf" / config_name
        if path.is_file():
            return path
    raise MissingFileError(f"package {package} has no conf/{config_name}")


def _build(layer: Layer, path: PathLike, resolve: bool) -> DictConfig:
    layer = finish(layer)
    config = _create(layer)
    attach_sources(
        config,
        file=str(path),
        positions=layer.positions,
        references=find_references(layer.content),
    )
    if resolve:
        resolve_config(config)
    return config


def _create(layer: Layer) -> DictConfig:
    try:
        return OmegaConf.create(layer.content)
    except OmegaConfBaseException as error:
        # OmegaConf checks the grammar of interpolations here, but does not know the file.
        key, value = next((k, v) for k, v in walk(layer.content) if _is_refused(v))
        place = layer.positions[key]
        raise ConfigError(
            str(error).partition("\n")[0],
            key=indexed_key(key),
            file=place.file,
            line=place.line,
            value=value,
        ) from error


def _is_refused(value: Any) -> bool:
    """Tell whether OmegaConf cannot hold a value."""
    if isinstance(value, dict | list):
        return False
    try:
        OmegaConf.create({"value": value})
    except OmegaConfBaseException:
        return True
    return False


register_resolvers(load_yaml_value)

__all__ = [
    "OMEGACONF_ESPNET3_RESOLVER",
    "active_target_policy",
    "get_sources",
    "infer_default_package",
    "instantiate_config",
    "iter_targets",
    "load_and_merge_config",
    "load_config_with_defaults",
    "load_default_config",
    "load_line",
    "load_yaml_value",
    "locate",
    "resolve_config",
    "to_plain",
]
