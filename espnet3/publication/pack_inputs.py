"""What packing is given: the configs of a system as plain values, and a safe place to write to."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import ConfigError, MissingConfigError
from espnet3.publication.path_rewrite import absolute
from espnet3.publication.settings import PackSettings, UploadSettings
from espnet3.utils.config_utils import (
    load_and_merge_config,
    load_config_with_defaults,
    to_plain,
)
from espnet3.utils.settings import parse_settings
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)

CONFIG_NAMES = ("training", "inference", "metrics", "publication")


class PackableSystem(Protocol):
    """What packing reads of a system; ``inference_config`` and ``metrics_config`` may be absent."""

    training_config: Any
    publication_config: Any


@dataclass(frozen=True, kw_only=True)
class PackInputs:
    """The part of a system that packing reads."""

    settings: PackSettings
    upload: UploadSettings
    system_name: str
    configs: Mapping[str, DictConfig]
    """Name (``training`` …) → config, unresolved where it came from a file."""
    recipe_root: Path | None
    out_dir: Path
    include: tuple[Path, ...] | None = None
    """Replaces the experiment folder as what is always copied; ``None`` keeps that default."""
    extra: tuple[Path, ...] = ()

    def read(self, name: str, key: str) -> Any:
        """Return one resolved value of a config, ``None`` when it is absent or cannot resolve."""
        return read_value(self.configs.get(name), key)

    def read_path(self, name: str, key: str) -> Path | None:
        """Return a configured path as an absolute one, links unresolved."""
        value = self.read(name, key)
        return self.locate(value) if isinstance(value, str | Path) and str(value) else None

    def locate(self, path: PathLike) -> Path:
        """Resolve a relative path against the recipe root, else the working directory."""
        return locate(path, self.recipe_root)

    @property
    def exp_dir(self) -> Path | None:
        """Experiment folder of the training config."""
        return self.read_path("training", "exp_dir")

    @property
    def task(self) -> str | None:
        """Short task name that decides on the default artifacts."""
        declared = self.settings.espnet2.task if self.settings.espnet2 else None
        if declared:
            return declared
        target = str(self.read("training", "task") or "")
        return "asr" if ".asr." in target or target.endswith(".ASRTask") else None


def as_system(system: Any, configs: Mapping[str, Any]) -> Any:
    """Return the system, or configs given by themselves in the form of one.

    Raises:
        ConfigError: If both are given, or a name is not that of a config.
    """
    known = [f"{name}_config" for name in CONFIG_NAMES]
    for name in configs:
        if name not in known:
            raise ConfigError(f"pack_model takes {', '.join(known)}", key=name)
    if system is not None and configs:
        raise ConfigError("give either system or configs, not both", key=next(iter(configs)))
    return SimpleNamespace(**configs) if system is None else system


def read_inputs(
    system: PackableSystem,
    *,
    include: Sequence[PathLike] | None,
    extra: Sequence[PathLike] | None,
) -> PackInputs:
    """Read what packing needs from a system and check its settings.

    Raises:
        MissingConfigError: If the training or publication config, or its section, is absent.
        ConfigError: If the section has unknown keys or wrong values.
    """
    given = {
        name: as_config(getattr(system, f"{name}_config", None), name) for name in CONFIG_NAMES
    }
    for name in ("training", "publication"):
        if given[name] is None:
            raise MissingConfigError(
                f"pack_model requires {name}_config", hint=f"give it with --{name}_config"
            )
    # Unlike read_value, this lets an interpolation that cannot be resolved speak for itself.
    section = to_plain(OmegaConf.select(cast(DictConfig, given["publication"]), "pack_model"))
    if section is None:
        raise MissingConfigError("must be a section", key="publication_config.pack_model")
    settings = parse_settings(section, PackSettings, key="publication_config.pack_model")
    upload = parse_settings(
        read_value(given["publication"], "upload_model"),
        UploadSettings,
        key="publication_config.upload_model",
    )
    root = find_recipe_root(given)
    return PackInputs(
        settings=settings,
        upload=upload,
        system_name=type(system).__name__,
        configs=_with_files_of_recipe(given, root),
        recipe_root=root,
        out_dir=choose_out_dir(settings, given["training"], root),
        include=None if include is None else tuple(map(Path, include)),
        extra=tuple(map(Path, extra or ())),
    )


def read_value(config: DictConfig | None, key: str) -> Any:
    """Return a resolved value as plain data, ``None`` when it is absent or cannot be resolved."""
    if config is None:
        return None
    try:
        value = OmegaConf.select(config, key, default=None)
        if OmegaConf.is_config(value):
            return OmegaConf.to_container(value, resolve=True)
    except OmegaConfBaseException as error:
        logger.debug("%s cannot be resolved: %s", key, error)
        return None
    return value


def locate(path: PathLike, recipe_root: Path | None) -> Path:
    """Resolve a relative path against the recipe root if it exists there, else from here."""
    in_recipe = absolute(path, recipe_root)
    return in_recipe if in_recipe.exists() else absolute(path)


def choose_out_dir(settings: PackSettings, training: DictConfig | None, root: Path | None) -> Path:
    """Return the bundle folder.

    Raises:
        MissingConfigError: If neither ``out_dir`` nor the experiment folder is known.
    """
    if settings.out_dir is not None:
        return (
            settings.out_dir if settings.out_dir.is_absolute() else absolute(settings.out_dir, root)
        )
    exp_dir = read_value(training, "exp_dir")
    if not exp_dir:
        raise MissingConfigError(
            "must be set, because publication_config.pack_model.out_dir is not",
            key="training_config.exp_dir",
        )
    return absolute(Path(exp_dir, "model_pack"), root)


def as_config(value: Any, name: str) -> DictConfig | None:
    """Return a slot as a ``DictConfig``.

    Raises:
        ConfigError: If it is no mapping.
    """
    if value is None or isinstance(value, DictConfig):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError("must be a mapping", key=f"{name}_config", value=value)
    return OmegaConf.create(dict(value))


def find_recipe_root(configs: Mapping[str, DictConfig | None]) -> Path | None:
    """Return the first ``recipe_dir`` of the slots that exists."""
    for name in ("training", "inference", "metrics"):
        value = read_value(configs.get(name), "recipe_dir")
        if isinstance(value, str | os.PathLike) and Path(value).is_dir():
            return absolute(value)
    return None


def _with_files_of_recipe(
    given: Mapping[str, DictConfig | None], root: Path | None
) -> dict[str, DictConfig]:
    configs: dict[str, DictConfig] = {}
    for name, config in given.items():
        path = root / "conf" / f"{name}.yaml" if root else None
        if config is not None:
            configs[name] = config
        elif path is not None and path.is_file():
            configs[name] = load_unresolved(path, path.name)
    return configs


def load_unresolved(path: Path, template: str) -> DictConfig:
    """Load a configuration of a recipe over the template's file, where there is a template."""
    try:
        config = load_and_merge_config(path, template, resolve=False)
    except (ValueError, ImportError, FileNotFoundError) as error:
        logger.info("%s is packed without template defaults (%s)", path, error)
        config = None
    return config if config is not None else load_config_with_defaults(path, resolve=False)
