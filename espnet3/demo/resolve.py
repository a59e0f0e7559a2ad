"""From what a demo configuration says to the objects it names."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.demo.settings import DemoSettings
from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils.config_utils import load_config_with_defaults, to_plain
from espnet3.utils.import_utils import import_object
from espnet3.utils.settings import parse_settings
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)

DEMO_FILE = "demo.yaml"
_DEFAULT_CLASSES = {
    "provider": ("inference_provider", "InferenceProvider"),
    "runner": ("inference_runner", "InferenceRunner"),
}
_FIELDS = tuple(field.name for field in dataclasses.fields(DemoSettings))

DemoConfig = DictConfig | Mapping[str, Any]


def load_demo_config(demo_dir: PathLike) -> DictConfig:
    """Load the ``demo.yaml`` of a packed demo.

    Raises:
        MissingFileError: If there is none; a ``FileNotFoundError``.
    """
    return load_config_with_defaults(find_demo_file(demo_dir))


def find_demo_file(demo_dir: PathLike) -> Path:
    """Return the ``demo.yaml`` of a packed demo.

    Raises:
        MissingFileError: If there is none; a ``FileNotFoundError``.
    """
    path = Path(demo_dir) / DEMO_FILE
    if not path.is_file():
        raise MissingFileError("no such file", file=path, hint="give a folder of pack_demo")
    return path


def read_settings(demo_cfg: DemoConfig) -> DemoSettings:
    """Check the sections of a demo configuration and return them.

    Raises:
        ConfigError: If a key or value is wrong.
    """
    section = {key: to_plain(demo_cfg.get(key)) for key in _FIELDS}
    return parse_settings(section, DemoSettings, key="")


def resolve_infer_path(
    infer_config: PathLike | None, demo_cfg_path: PathLike | None
) -> Path | None:
    """Return where an inference configuration lies, seen from the demo configuration.

    Args:
        infer_config: Path as configured.
        demo_cfg_path: File of the demo configuration; ``None`` for the working directory.
    """
    if not infer_config:
        return None
    base = Path.cwd() if demo_cfg_path is None else Path(demo_cfg_path).parent
    return resolve_absolute_path(infer_config, base=base)


def load_infer_config(path: PathLike) -> DictConfig:
    """Load an inference configuration, fully resolved.

    Raises:
        MissingFileError: If it does not exist; a ``FileNotFoundError``.
    """
    return load_config_with_defaults(path)


def resolve_absolute_path(value: PathLike | None, *, base: PathLike) -> Path:
    """Return an absolute path; a relative one starts at ``base``.

    Raises:
        ConfigError: If there is no value.
    """
    if value is None:
        raise ConfigError("absolute path could not be resolved: no path is given")
    path = Path(value)
    return path if path.is_absolute() else (Path(base) / path).resolve()


def resolve_output_keys(cfg: DemoConfig) -> dict[str, str]:
    """Return which field of the result each output shows, by default as the system says."""
    return _configured_or_default(cfg, "output_keys")


def resolve_extra_kwargs(cfg: DemoConfig) -> dict[str, Any]:
    """Return constant arguments of the runner's ``forward``, by default those of the system."""
    return _configured_or_default(cfg, "extra_kwargs")


def resolve_infer_kwargs(infer_cfg: DemoConfig | None) -> dict[str, Any]:
    """Return the arguments of the runner's ``forward`` that an inference configuration gives."""
    names = {"input_key": "input_key", "output_fn": "output_fn_path"}
    found = {to: to_plain((infer_cfg or {}).get(name)) for name, to in names.items()}
    return {name: value for name, value in found.items() if value}


def resolve_provider_class(demo_cfg: DemoConfig, infer_cfg: DemoConfig | None = None) -> Any:
    """Return the class that builds the model.

    The first that is named counts: ``inference.provider_class`` of the demo, ``provider._target_``
    and ``provider.provider_class`` of the inference configuration; then
    ``espnet3.systems.<system>.inference.InferenceProvider`` if there is one, else that of the base.

    Returns:
        The class; ``None`` when nothing is named and there is no ``system``.

    Raises:
        ConfigError: If what is named does not exist.
    """
    return _resolve_class("provider", demo_cfg, infer_cfg)


def resolve_runner_class(demo_cfg: DemoConfig, infer_cfg: DemoConfig | None = None) -> Any:
    """Return the class whose ``forward`` calls the model.

    The rules are those of :func:`resolve_provider_class`, with ``runner`` in place of ``provider``.
    """
    return _resolve_class("runner", demo_cfg, infer_cfg)


def resolve_ui(demo_cfg: DemoConfig) -> Any:
    """Return the description of the page: what the builder, the configuration or the system says.

    Returns:
        A mapping as in ``ui``, or whatever the function ``ui.builder`` returns.

    Raises:
        ConfigError: If nobody describes it.
    """
    ui = to_plain(demo_cfg.get("ui"))
    if not ui:
        build = system_hook(demo_cfg, "build_ui")
        if build is None:
            raise ConfigError(
                "must be set, because the system has no page of its own",
                key="ui",
                hint="list inputs and outputs",
            )
        return build(demo_cfg)
    if ui.get("builder"):
        return import_object(ui["builder"], key="ui.builder")(demo_cfg)
    default = system_hook(demo_cfg, "build_ui_default")
    return to_plain(OmegaConf.merge(default() if default else {}, ui))


def read_page_side(demo_cfg: DemoConfig, side: str) -> Any:
    """Return the ``inputs`` or ``outputs`` of the page, ``None`` when nobody lists them."""
    default = system_hook(demo_cfg, "build_ui_default")
    own = (to_plain(demo_cfg.get("ui")) or {}).get(side)
    return own or (default() if default else {}).get(side)


def system_hook(demo_cfg: DemoConfig, name: str) -> Any:
    """Return a function of ``espnet3.systems.<system>.demo``, ``None`` when there is none."""
    system = _system(demo_cfg)
    path = f"espnet3.systems.{system}.demo"
    if system is None or not _module_exists(path):
        logger.debug("no demo defaults: system=%s", system)
        return None
    return getattr(import_object(path), name, None)


def _module_exists(path: str) -> bool:
    """Tell whether a module is there; one that is there and broken is for its import to report."""
    if path in sys.modules:
        return True
    try:
        return importlib.util.find_spec(path) is not None
    except ModuleNotFoundError as error:
        if not path.startswith(f"{error.name}."):
            raise
        return False


def _system(demo_cfg: DemoConfig) -> str | None:
    name = demo_cfg.get("system")
    return parse_settings({"system": name}, DemoSettings, key="").system.lower() if name else None  # type: ignore[union-attr]


def _configured_or_default(cfg: DemoConfig, key: str) -> dict[str, Any]:
    configured = to_plain(cfg.get(key))
    if configured is not None:
        return dict(configured)
    default = system_hook(cfg, "build_inference_default")
    return dict((default() if default else {}).get(key) or {})


def _resolve_class(kind: str, demo_cfg: DemoConfig, infer_cfg: DemoConfig | None) -> Any:
    section = (infer_cfg or {}).get(kind) or {}
    named = {
        f"inference.{kind}_class": (demo_cfg.get("inference") or {}).get(f"{kind}_class"),
        f"{kind}._target_": section.get("_target_"),
        f"{kind}.{kind}_class": section.get(f"{kind}_class"),
    }
    for key, path in named.items():
        if path:
            return import_object(str(path), key=key)
    system = _system(demo_cfg)
    if system is None:
        return None
    module, name = _DEFAULT_CLASSES[kind]
    own = f"espnet3.systems.{system}.inference"
    if _module_exists(own) and hasattr(import_object(own), name):
        return import_object(f"{own}.{name}")
    logger.debug("system %s has no %s of its own", system, name)
    return import_object(f"espnet3.systems.base.{module}.{name}")
