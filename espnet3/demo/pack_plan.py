"""Decide what a packed demo holds. Reads the disk, writes nothing, needs no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.demo.bundle_copy import check_trust, iter_bundle_files
from espnet3.demo.relocation import InferConfigRelocator
from espnet3.demo.resolve import (
    DEMO_FILE,
    read_settings,
    resolve_extra_kwargs,
    resolve_infer_path,
)
from espnet3.demo.settings import DemoSettings, FileEntry
from espnet3.errors import ConfigError, MissingConfigError, MissingFileError
from espnet3.publication.file_selection import Selection
from espnet3.publication.hub import is_hub_tag
from espnet3.publication.pack_inputs import (
    as_config,
    find_recipe_root,
    load_unresolved,
    read_value,
)
from espnet3.publication.path_patterns import PathPatterns
from espnet3.publication.user_code import DEFAULT_ROOTS, find_references
from espnet3.utils.config_utils import to_plain
from espnet3.utils.path_utils import is_inside

MODEL_DIR = "model"
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
    draft = _Draft(out_dir, settings, root)
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
    return DemoPlan(
        out_dir=out_dir,
        settings=settings,
        demo_config={**plain, "demo_dir": "."},
        infer_config=infer_config,
        recipe_root=root,
        copies=draft.copies,
    )


def choose_out_dir(settings: DemoSettings, system: Any) -> Path:
    """Return the folder of a packed demo, as it is configured."""
    if settings.pack.out_dir is not None:
        return settings.pack.out_dir
    return Path(getattr(system, "exp_dir", None) or Path.cwd()) / "demo"


class _Draft:
    """Collects the files of a demo."""

    def __init__(self, out_dir: Path, settings: DemoSettings, root: Path | None) -> None:
        self._out_dir = out_dir
        self._settings = settings
        self._root = root
        self._selection = Selection(
            exclude=PathPatterns(settings.pack.exclude or ()), bundle_dir=out_dir
        )
        self.copies: dict[str, Path] = {}

    def add_files(self) -> None:
        """Add what ``pack.files`` lists."""
        for index, entry in enumerate(self._settings.pack.files or ()):
            key = f"pack.files[{index}]"
            given = entry if isinstance(entry, FileEntry) else FileEntry(src=entry)
            source = self._find(given.src, key)
            destination = given.dst or self.destination(given.src)
            self._check(given.src, source, destination, key)
            self._copy(source, destination.as_posix(), key)

    def add_model(self, output_fn: str | None) -> str:
        """Add a packed model in a folder; return what the packed demo calls it."""
        tag = str(self._settings.model.dir_or_tag)
        source = next((path for path in self._places(Path(tag)) if path.is_dir()), None)
        if source is None:
            if is_hub_tag(tag):
                return tag
            raise MissingFileError(
                "no such folder",
                key="model.dir_or_tag",
                value=tag,
                hint="run the stage pack_model first, or give a Hub id owner/name@revision",
            )
        is_trusted = self._settings.model.trust_user_code
        check_trust(source, is_trusted=is_trusted, output_fn=output_fn)
        if not self._settings.pack.copy:
            # A bundle may hold no links that lead out of it, so the folder is linked as one.
            self.copies[MODEL_DIR] = source
            return MODEL_DIR
        for name, path in iter_bundle_files(source):
            self._add(path, f"{MODEL_DIR}/{name}", "model.dir_or_tag")
        return MODEL_DIR

    def add_user_code(self, configs: Mapping[str, Any]) -> None:
        """Add the recipe's ``src`` if a configuration names something in it."""
        for key, path in find_references(configs, DEFAULT_ROOTS):
            for name in DEFAULT_ROOTS:
                if any(destination.startswith(f"{name}/") for destination in self.copies):
                    continue
                folder = next((p for p in self._places(Path(name)) if p.is_dir()), None)
                if folder is None:
                    raise MissingFileError(
                        f"needs a folder {name} in the recipe", key=key, value=path
                    )
                self._copy(folder, name, key)

    def add_file(self, source: Path) -> str:
        """Add one file that the model reads; return where it goes."""
        for destination, known in self.copies.items():
            if known == source:
                return destination
        place = self.destination(source)
        numbered = (place.with_stem(f"{place.stem}-{number}") for number in itertools.count(2))
        destination = next(
            path.as_posix()
            for path in itertools.chain([place], numbered)
            if path.as_posix() not in self.copies
        )
        self.copies[destination] = source
        return destination

    def destination(self, source: Path) -> Path:
        """Return where a file goes that has no place of its own."""
        if not source.is_absolute():
            return source
        bases = [base for base in (self._root, Path.cwd()) if base is not None]
        below = (source.relative_to(base) for base in bases if source.is_relative_to(base))
        return next(below, Path(source.name))

    def _copy(self, source: Path, destination: str, key: str) -> None:
        for path, place in self._selection.iter_files(source, destination):
            self._add(path, place, key)

    def _add(self, source: Path, place: str, key: str) -> None:
        known = self.copies.setdefault(place, source)
        if known != source and not known.samefile(source):
            raise ConfigError(f"would replace {known} in the demo, as both become {place}",
                              key=key, value=str(source),
                              hint="give one a place of its own with src and dst")  # fmt: skip

    def _places(self, path: Path) -> Iterator[Path]:
        for base in (self._root, Path.cwd()):
            if base is not None:
                yield (base / path).absolute()

    def _find(self, path: Path, key: str) -> Path:
        found = next((place for place in self._places(path) if place.exists()), None)
        if found is None:
            raise MissingFileError("no such file or folder", key=key, value=str(path))
        return found

    def _check(self, given: Path, source: Path, destination: Path, key: str) -> None:
        is_self = given in (Path(), Path("..")) or is_inside(self._out_dir, source)
        if is_self or source.resolve() == self._out_dir.resolve():
            raise ConfigError(
                "holds the demo itself",
                key=key,
                value=str(given),
                hint="list the files and folders that it needs",
            )
        if destination.is_absolute() or ".." in destination.parts:
            raise ConfigError("leaves the demo", key=key, value=str(destination),
                              hint="give it a place with src and dst")  # fmt: skip


def _plan_infer_config(
    config: DictConfig, settings: DemoSettings, system: Any, draft: _Draft
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
