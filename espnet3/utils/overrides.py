"""Single values set after loading: by ``--set slot.key=value`` or by a mode of ``run.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import ConfigError, UnknownKeyError, did_you_mean
from espnet3.utils.config_merge import LOADED_FILE, add_convert, walk
from espnet3.utils.config_sources import attach_sources, find_references, flat_key, get_sources
from espnet3.utils.instantiate import to_plain
from espnet3.utils.resolvers import make_paths_absolute
from espnet3.utils.slot_schema import SLOT_KEYS
from espnet3.utils.yaml_source import SourcePosition, parse_yaml

_KEY = re.compile(r"[^\s.\[\]=]+(?:\.[^\s.\[\]=]+|\[\d+\])*")


@dataclass(frozen=True)
class Override:
    """One value that takes the place of another."""

    slot: str
    """Slot without ``_config``."""
    key: str
    value: Any
    """Plain value, before interpolation."""

    text: str
    """As it is typed after ``--set``."""
    place: SourcePosition | None = None
    """Where it is written; ``None`` for the command line."""

    @property
    def source(self) -> SourcePosition:
        """Where it is written, for messages."""
        return self.place or SourcePosition(f"--set {self.text}")


def apply_overrides(
    configs: Mapping[str, DictConfig | None], overrides: Sequence[str]
) -> list[Override]:
    """Set values in merged, unresolved configurations.

    A value replaces what it meets, mappings and lists included. Intermediate mappings that are
    absent or null are made. A new top-level key must be one that the slot knows.

    Args:
        configs: Slot name, with or without ``_config``, to configuration; changed in place.
        overrides: ``slot.key=value``; the value is YAML, and an empty value is null.

    Returns:
        What was applied, in order. It is also kept in
        :func:`~espnet3.utils.config_sources.get_sources` of each configuration.

    Raises:
        ConfigError: If one is malformed, names no loaded slot, or leads through a value that is no
            mapping.
        UnknownKeyError: If the slot has no such top-level key.
    """
    slots = {name.removesuffix("_config"): config for name, config in configs.items()}
    applied = [_parse(text, slots) for text in overrides]
    for override in applied:
        config = slots[override.slot]
        if config is not None:
            apply_override(config, override)
    return applied


def override_text(slot: str, key: str, value: Any) -> str:
    """Return what stands after ``--set`` to set a plain value.

    Example:
        >>> override_text("training", "trainer.max_epochs", None)
        'training.trainer.max_epochs=null'
    """
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return f"{slot}.{key}={text.removesuffix('...' + chr(10)).strip()}"


def _parse(text: str, slots: Mapping[str, DictConfig | None]) -> Override:
    label = f"--set {text}"
    name, equals, value = text.partition("=")
    slot, _, key = name.strip().partition(".")
    if not equals or not _KEY.fullmatch(key):
        raise ConfigError("must look like slot.key=value", file=label)
    if slots.get(slot) is None:
        known = [name for name, config in slots.items() if config is not None]
        hint = did_you_mean(slot, known) or "loaded slots: " + (", ".join(known) or "none")
        if slot in slots:
            hint = f"give its file with --{slot}_config"
        raise ConfigError(f"slot {slot!r} is not loaded", file=label, hint=hint)
    return Override(slot, key, parse_yaml(value, label).value, text)


def apply_override(config: DictConfig, override: Override) -> None:
    """Set one value in a merged, unresolved configuration, in place.

    Raises:
        ConfigError: If the key leads through a value that is no mapping.
        UnknownKeyError: If the slot has no such top-level key.
    """
    parts = flat_key(override.key).split(".")
    known = {*map(str, config.keys()), *SLOT_KEYS.get(override.slot, ())}
    if parts[0] not in known:
        raise UnknownKeyError(
            "is not a key that anything reads",
            key=override.key,
            file=override.source.file,
            line=override.source.line,
            hint=did_you_mean(parts[0], known),
        )
    value = add_convert(make_paths_absolute(override.value, Path.cwd()))
    try:
        _assign(_section(config, parts, override.key), parts[-1], value, override.key)
    except ConfigError as error:
        raise error.at(override.source.file, override.source.line) from None
    _record(config, override, value)


def _read_section(node: Any, name: Any) -> bool:
    """Put the content of a file in the place of its ``load_yaml``, if it is a section."""
    raw = OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[index]
    if not LOADED_FILE.fullmatch(raw):
        return False
    try:
        value = to_plain(node[name])
    except OmegaConfBaseException:
        return False
    if isinstance(value, dict):
        node[name] = value
    return isinstance(value, dict)


def _section(config: DictConfig, parts: list[str], key: str) -> Any:
    """Return the container that holds the last part, making mappings on the way."""
    node: Any = config
    for index, part in enumerate(parts[:-1]):
        name = _item(node, part, key)
        here = ".".join(parts[: index + 1])
        if OmegaConf.is_interpolation(node, name):
            if _read_section(node, name):
                node = _get(node, name)
                continue
            raw = OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[index]
            raise ConfigError(
                f"{here} is the interpolation {raw}",
                key=key,
                hint="set the key that it refers to, or the whole section",
            )
        child = None if OmegaConf.is_missing(node, name) else _get(node, name)
        if child is None:
            node[name] = {}
            child = node[name]
        if not isinstance(child, DictConfig | ListConfig):
            raise ConfigError(f"{here} is no mapping", key=key)
        node = child
    return node


def _get(node: Any, name: str | int) -> Any:
    return node.get(name) if isinstance(node, DictConfig) else node[name]


def _item(node: Any, part: str, key: str) -> str | int:
    if isinstance(node, DictConfig):
        return part
    if part.isdigit() and int(part) < len(node):
        return int(part)
    raise ConfigError(f"the list has {len(node)} items, no {part!r}", key=key)


def _assign(node: Any, part: str, value: Any, key: str) -> None:
    try:
        node[_item(node, part, key)] = value
    except OmegaConfBaseException as error:
        message = str(error).partition("\n")[0]
        raise ConfigError(message, key=key, value=value) from error


def _record(config: DictConfig, override: Override, value: Any) -> None:
    table = get_sources(config)
    key = flat_key(override.key)
    positions = {
        path: place
        for path, place in table.positions.items()
        if path != key and not path.startswith(f"{key}.")
    }
    for path in (key, *(f"{key}.{below}" for below, _ in walk(value))):
        positions[path] = override.source
    # Sections that stand in no file were made on the way.
    for above in accumulate(key.split(".")[:-1], "{}.{}".format):
        positions.setdefault(above, override.source)
    attach_sources(
        config,
        positions=positions,
        references=table.references | find_references(value),
        overrides=(*table.overrides, override.text),
    )
