"""Read YAML and JSON that nobody vouches for: plain data only, bounded in size and depth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from espnet3.errors import ConfigError

MAX_BYTES = 10 * 2**20
MAX_JSON_BYTES = 64 * 2**20
MAX_DEPTH = 64
MAX_ALIASES = 1000
MAX_NODES = 2_000_000
"""Nodes after aliases are expanded; a few nested aliases can stand for billions."""


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain containers and scalars.

    Raises:
        ConfigError: If the file is too large, too deep, expands to too much, or is not plain YAML.
        OSError: If it cannot be read.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        # Opening a pipe might wait for ever.
        raise ConfigError("is neither file nor folder", file=path)
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"is larger than {MAX_BYTES} bytes", file=path)
    try:
        text = path.read_text(encoding="utf-8")
        _check_events(text, path)
        content = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        # Dates that are none and numbers of thousands of digits are a ValueError.
        raise ConfigError(f"is not plain YAML: {error}", file=path) from error
    nodes, height = _measure(content, {}, ())
    if nodes > MAX_NODES:
        raise ConfigError(f"expands to more than {MAX_NODES} nodes", file=path)
    if height > MAX_DEPTH:
        raise ConfigError(f"expands to more than {MAX_DEPTH} levels", file=path)
    return content


def read_mapping(path: Path) -> dict[str, Any] | None:
    """Read a YAML file; anything but a readable mapping gives ``None``."""
    try:
        content = read_yaml(path)
    except (OSError, ConfigError):
        return None
    return content if isinstance(content, dict) else None


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ConfigError: If the file is too large, too deep or not JSON.
        OSError: If it cannot be read.
    """
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ConfigError(f"is larger than {MAX_JSON_BYTES} bytes", file=path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not plain JSON: {error}", file=path) from error


def _check_events(text: str, path: Path) -> None:
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        # What a tag makes (bytes, sets, dates) would pass by checks of texts.
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise ConfigError(f"has the tag {tag!r}; only plain data is read", file=path)
        if depth > MAX_DEPTH:
            raise ConfigError(f"is nested deeper than {MAX_DEPTH} levels", file=path)
        if aliases > MAX_ALIASES:
            raise ConfigError(f"has more than {MAX_ALIASES} aliases", file=path)


def _measure(
    node: Any, known: dict[int, tuple[int, int]], parents: tuple[int, ...]
) -> tuple[int, int]:
    """Return the number of nodes and levels, with aliases expanded."""
    if not isinstance(node, Mapping | list):
        return 1, 0
    if id(node) in parents:
        return MAX_NODES + 1, MAX_DEPTH + 1
    if id(node) not in known:
        children = node.values() if isinstance(node, Mapping) else node
        inner = (*parents, id(node))
        sizes = [_measure(child, known, inner) for child in children]
        height = max((levels for _, levels in sizes), default=0)
        known[id(node)] = 1 + sum(count for count, _ in sizes), 1 + height
    return known[id(node)]
