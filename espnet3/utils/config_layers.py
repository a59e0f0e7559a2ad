"""Compose YAML files into one tree of plain containers, without touching interpolations.

A layer is what one file, with its ``defaults`` list, says. Layers are merged key by key; a node
under ``override <key>`` replaces what it would be merged into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils.config_merge import Layer, Replacement, merge
from espnet3.utils.espnet2_run import locate_files, model_options
from espnet3.utils.resolvers import bind_self_name, make_paths_absolute, quote_empty_defaults
from espnet3.utils.types import PathLike
from espnet3.utils.yaml_source import SourcePosition, read_yaml

_OVERRIDE = re.compile(r"override (?P<name>\S.*)")


def compose(path: PathLike, self_name: str | None = None) -> Layer:
    """Read a YAML file and everything in its ``defaults`` lists.

    Args:
        path: YAML file.
        self_name: What ``${self_name:}`` stands for; by default each file's own stem.

    Raises:
        MissingFileError: If the file or an include does not exist.
        ConfigError: If a file is not a mapping, its ``defaults`` is malformed, includes form a
            cycle, or ``x`` and ``override x`` stand side by side.
    """
    return _compose(Path(path), self_name, ())


def include_folder(path: Path) -> Path:
    """Return the folder where relative paths inside a YAML file start.

    A link is followed, unless it leads to a Hub cache's store of files without names.
    """
    real = path.resolve()
    return real.parent if real.suffix else path.absolute().parent


def _compose(path: Path, self_name: str | None, chain: tuple[Path, ...]) -> Layer:
    here = path.resolve()
    if here in chain:
        names = " -> ".join(str(p) for p in (*chain, here))
        raise ConfigError(f"includes form a cycle: {names}", key="defaults", file=chain[-1])
    document = read_yaml(path)
    content = {} if document.value is None else document.value
    if not isinstance(content, dict):
        raise ConfigError(
            f"the file must hold a mapping, not a {type(content).__name__}", file=path
        )
    entries = content.get("defaults") or []
    content = {key: value for key, value in content.items() if key != "defaults"}
    folder = include_folder(path)
    content = make_paths_absolute(quote_empty_defaults(content), folder)
    content = locate_files(content, path)
    content = bind_self_name(content, self_name or path.stem)
    positions = {_plain_path(key): position for key, position in document.positions.items()}
    try:
        own = Layer(_mark_overrides(content, "", path), positions)
        result = Layer()
        for include in _includes(entries, path, folder):
            layer = own
            if include is not None:
                key, file = include
                layer = _place(_include(file, path, self_name, (*chain, here)), key)
            result = merge(result, layer)
    except ConfigError as error:
        raise _with_line(error, path, document.positions) from error.__cause__
    return result


def _with_line(
    error: ConfigError, path: Path, positions: Mapping[str, SourcePosition]
) -> ConfigError:
    """Add the line to an error about a key of this very file."""
    key = (error.key or "").partition("[")[0]
    place = positions.get(key) or positions.get(f"override {key}")
    is_here = error.line is None and Path(str(error.file)).resolve() == path.resolve()
    return error.at(error.file, place.line) if place is not None and is_here else error


def _include(file: Path, parent: Path, self_name: str | None, chain: tuple[Path, ...]) -> Layer:
    if not file.exists():
        raise MissingFileError(
            f"includes {file}, which does not exist", key="defaults", file=parent
        )
    return _compose(file, self_name, chain)


def _includes(entries: Any, file: Path, folder: Path) -> Iterator[tuple[str | None, Path] | None]:
    """Yield ``(key or None, file)`` for each include and ``None`` for the file's own content."""
    if not isinstance(entries, list):
        raise ConfigError("must be a list", key="defaults", file=file, value=entries)
    has_self = False
    for entry in entries:
        if entry == "_self_":
            has_self = True
            yield None
        elif isinstance(entry, str) and entry.strip():
            yield None, _include_path(entry, entry, file, folder)
        elif isinstance(entry, dict):
            yield from _keyed_includes(entry, file, folder)
        else:
            raise ConfigError(
                "an entry must be a file name or `key: file name`",
                key="defaults",
                file=file,
                value=entry,
            )
    if not has_self:
        yield None


def _keyed_includes(entry: dict[Any, Any], file: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    for key, name in entry.items():
        if name is None:
            continue
        if not isinstance(name, str):
            raise ConfigError("must be a file name", key=f"defaults.{key}", file=file, value=name)
        yield str(key), _include_path(name if "/" in name else f"{key}/{name}", name, file, folder)


def _include_path(name: str, entry: str, file: Path, folder: Path) -> Path:
    path = folder / name
    if path.suffix == ".yaml":
        return path
    with_suffix = path.with_name(f"{path.name}.yaml")
    if path.suffix and not with_suffix.exists():
        raise ConfigError(
            f"has the suffix {path.suffix!r}, but only .yaml files can be included",
            key="defaults",
            file=file,
            value=entry,
        )
    return with_suffix


def _place(layer: Layer, key: str | None) -> Layer:
    """Put the content of an include under a key."""
    if key is None:
        return layer
    content = model_options(layer.content)
    positions = {f"{key}.{path}": position for path, position in layer.positions.items()}
    return Layer({key: content}, positions)


def _mark_overrides(value: Any, path: str, file: Path) -> Any:
    if isinstance(value, list):
        return [_mark_overrides(child, f"{path}[{i}]", file) for i, child in enumerate(value)]
    if not isinstance(value, dict):
        return value
    marked: dict[Any, Any] = {}
    for key, child in value.items():
        match = _OVERRIDE.fullmatch(key) if isinstance(key, str) else None
        name = match["name"] if match else key
        child_path = f"{path}.{name}" if path else str(name)
        if name in marked:
            raise ConfigError(
                f"`{name}` and `override {name}` stand in one mapping",
                key=child_path,
                file=file,
                hint="keep one of them",
            )
        child = _mark_overrides(child, child_path, file)
        marked[name] = Replacement(child) if match else child
    return marked


def _plain_path(path: str) -> str:
    return re.sub(r"(^|\.)override (?=\S)", r"\1", path)
