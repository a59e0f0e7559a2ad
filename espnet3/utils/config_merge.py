"""Merge layers of raw configuration: plain containers whose interpolations are plain text."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from espnet3.errors import ConfigError
from espnet3.utils.yaml_source import SourcePosition

logger = logging.getLogger(__name__)

_MISSING = "???"
LOADED_FILE = re.compile(r"\$\{\s*load_yaml\s*:.*\}")
"""A section that another file holds."""


@dataclass(frozen=True)
class Layer:
    """What a YAML file says: raw values, and where each key stands."""

    content: dict[Any, Any] = field(default_factory=dict)
    positions: dict[str, SourcePosition] = field(default_factory=dict)


@dataclass(frozen=True)
class Replacement:
    """A node written as ``override <key>:``."""

    value: Any


def merge(base: Layer, over: Layer) -> Layer:
    """Lay ``over`` on top of ``base``; neither is changed."""
    positions = {**base.positions, **over.positions}
    content = _merge_mappings(base.content, over.content, "", base, positions)
    return Layer(content, positions)


def finish(layer: Layer) -> Layer:
    """Drop override marks, add ``_convert_: all`` to targets, forget positions of lost keys."""
    content = add_convert(_unwrap(layer.content))
    present = {path for path, _ in walk(content)}
    return Layer(content, {k: p for k, p in layer.positions.items() if k in present})


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``(dotted path, value)`` of every node below ``value``, parents first."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for name, child in items:
        child_path = f"{path}.{name}" if path else str(name)
        yield child_path, child
        yield from walk(child, child_path)


def add_convert(value: Any) -> Any:
    """Return a copy where each mapping with ``_target_`` has ``_convert_``, by default ``all``."""
    if isinstance(value, list):
        return [add_convert(child) for child in value]
    if not isinstance(value, dict):
        return value
    copy = {key: add_convert(child) for key, child in value.items()}
    if "_target_" in copy:
        copy.setdefault("_convert_", "all")
    return copy


def _merge_mappings(
    base: dict[Any, Any],
    over: dict[Any, Any],
    path: str,
    origin: Layer,
    positions: dict[str, SourcePosition],
) -> dict[Any, Any]:
    merged = dict(base)
    for key, value in over.items():
        child_path = f"{path}.{key}" if path else str(key)
        if key in base:
            merged[key] = _merge_values(base[key], value, child_path, origin, positions)
        else:
            merged[key] = value
    _warn_kept_arguments(base, over, path, positions)
    return merged


def _merge_values(
    base: Any, over: Any, path: str, origin: Layer, positions: dict[str, SourcePosition]
) -> Any:
    if isinstance(over, Replacement):
        return over
    if isinstance(base, Replacement):
        return Replacement(_merge_values(base.value, over, path, origin, positions))
    if isinstance(over, str) and over == _MISSING:
        if path in origin.positions:
            positions[path] = origin.positions[path]
        return base
    if isinstance(base, dict) and isinstance(over, dict):
        return _merge_mappings(base, over, path, origin, positions)
    if isinstance(over, dict) and isinstance(base, str) and LOADED_FILE.fullmatch(base):
        place = positions.get(path)
        raise ConfigError(
            f"would replace all of {base}, because the file is not read before it is needed",
            key=path,
            file=place.file if place else None,
            line=place.line if place else None,
            hint=f"to change single keys of the file, list `- {path}: <file>` in `defaults` instead"
            f"; to replace it, write `override {path.rpartition('.')[2]}:`",
        )
    return over


def _warn_kept_arguments(
    base: dict[Any, Any], over: dict[Any, Any], path: str, positions: dict[str, SourcePosition]
) -> None:
    """Say which arguments of the old class a changed ``_target_`` inherits."""
    old, new = base.get("_target_"), over.get("_target_")
    kept = [str(k) for k in base if k not in over and not str(k).startswith("_")]
    if old is None or new is None or old == new or not kept:
        return
    position = positions.get(f"{path}._target_" if path else "_target_")
    logger.warning(
        "%s%s: _target_ changes from %s to %s and inherits %s; write `override %s:` to drop them",
        f"{position.file}:{position.line}: " if position else "",
        path,
        old,
        new,
        ", ".join(kept),
        path.rpartition(".")[2],
    )


def _unwrap(value: Any) -> Any:
    if isinstance(value, Replacement):
        return _unwrap(value.value)
    if isinstance(value, dict):
        return {key: _unwrap(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_unwrap(child) for child in value]
    return value
