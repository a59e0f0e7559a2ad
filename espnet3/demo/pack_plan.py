"""Decide what a packed demo holds. Reads the disk, writes nothing, needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.demo.pack_draft import MODEL_DIR, DemoDraft
from espnet3.demo.relocation import InferConfigRelocator
from espnet3.demo.resolve import (
    DEMO_FILE,
    read_page_side,
    read_settings,
    resolve_extra_kwargs,
    resolve_infer_path,
)
from espnet3.demo.settings import DemoSettings
from espnet3.errors import MissingConfigError, MissingFileError
from espnet3.publication.file_selection import Selection
from espnet3.publication.pack_inputs import (
    as_config,
    find_recipe_root,
    load_unresolved,
    read_value,
)
from espnet3.utils.config_utils import to_plain

INFER_CONFIG = "config/infer.yaml"
_OWN_KEYS = (
    "defaults", "exp_dir", "exp_tag", "pack", "readme_template", "recipe_dir", "strict",
    "upload_demo",
)  # fmt: skip
_CONTEXT = ("exp_tag", "exp_dir", "data_dir")


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """A demo folder that is yet to be written."""

    out_dir: Path
    """As configured."""
    settings: DemoSettings
    demo_config: dict[str, Any]
    """Content of ``demo.yaml``."""
    infer_config: dict[str, Any] | None
    """Content of ``config/infer.yaml``."""
    recipe_root: Path | None
    selection: Selection
    """What was left out."""
    copies: dict[str, Path] = field(default_factory=dict)
    """Path in the demo → file to copy."""

    @property
    def hub_tag(self) -> str | None:
        """Packed model on the Hub that the demo fetches."""
        tag = self.demo_config.get("model", {}).get("dir_or_tag")
        return tag if tag and tag != MODEL_DIR else None


def plan_demo(system: Any) -> DemoPlan:
    """Read the configuration of a demo and list what goes into it.

    Args:
        system: Object with ``demo_config``, and optionally ``demo_config_path`` and ``exp_dir``.

    Raises:
        MissingConfigError: If there is no configuration, or it names no model.
        MissingFileError: If a file that it names does not exist.
        ConfigError: If a setting is wrong.
    """
    config = as_config(getattr(system, "demo_config", None), "demo")
    if config is None:
        raise MissingConfigError(
            "pack_demo requires demo_config", hint="give it with --demo_config"
        )
    settings = read_settings(config)
    root = find_recipe_root({"training": config})
    out_dir = choose_out_dir(settings, system)
    draft = DemoDraft(out_dir, settings, root)
    draft.add_files()
    plain = _plain(config)
    infer_config = None
    if settings.model.dir_or_tag:
        output_fn = resolve_extra_kwargs(config).get("output_fn_path")
        plain["model"] = {**plain["model"], "dir_or_tag": draft.add_model(output_fn)}
        plain.pop("infer_config", None)
    else:
        infer_config = _plan_infer_config(config, settings, system, draft)
        plain["infer_config"] = INFER_CONFIG
    draft.add_user_code({"demo": plain, "infer": infer_config or {}})
    if plain.get("ui") and not plain["ui"].get("article_path"):
        plain["ui"]["article_path"] = "README.md"
    if settings.pack.examples:
        examples = draft.add_examples(read_page_side(plain, "inputs") or ())
        plain["ui"] = {**(plain.get("ui") or {}), "examples": examples}
    return DemoPlan(
        out_dir=out_dir,
        settings=settings,
        demo_config={**plain, "demo_dir": "."},
        infer_config=infer_config,
        recipe_root=root,
        selection=draft.selection,
        copies=draft.copies,
    )


def choose_out_dir(settings: DemoSettings, system: Any) -> Path:
    """Return the folder of a packed demo, as it is configured."""
    if settings.pack.out_dir is not None:
        return settings.pack.out_dir
    return Path(getattr(system, "exp_dir", None) or Path.cwd()) / "demo"


def _plan_infer_config(
    config: DictConfig, settings: DemoSettings, system: Any, draft: DemoDraft
) -> dict[str, Any]:
    path = _find_infer_config(settings.infer_config, config, system)
    loaded = load_unresolved(path, "inference.yaml")
    for key in _CONTEXT:
        value = read_value(config, key)
        if value is not None and "None" not in Path(str(value)).parts:
            loaded[key] = value
    root = (
        find_recipe_root({"training": loaded})
        or find_recipe_root({"training": config})
        or Path.cwd()
    )
    relocator = InferConfigRelocator(root, draft.add_file, draft.destination)
    return relocator.rewrite(loaded)


def _find_infer_config(configured: Path | None, config: DictConfig, system: Any) -> Path:
    demo_path = getattr(system, "demo_config_path", None)
    if configured is None:
        raise MissingConfigError(
            "infer_config is required", file=demo_path, hint="or model.dir_or_tag, a packed model"
        )
    bases = [None if demo_path is None else Path(demo_path)]
    bases += [
        base / DEMO_FILE
        for base in (find_recipe_root({"training": config}), Path.cwd())
        if base is not None
    ]
    candidates = [resolve_infer_path(configured, base) for base in bases]
    for path in candidates:
        if path is not None and path.is_file():
            return path
    raise MissingFileError(
        "no such file", key="infer_config", file=demo_path, value=str(candidates[0])
    )


def _plain(config: DictConfig) -> dict[str, Any]:
    """Return what the packed demo needs of its configuration, resolved."""
    names = [key for key in map(str, config) if key not in _OWN_KEYS]
    plain = {key: to_plain(OmegaConf.select(config, key)) for key in names}
    return {key: value for key, value in plain.items() if value is not None}
