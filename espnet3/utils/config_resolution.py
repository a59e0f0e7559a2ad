"""Resolve the interpolations of a configuration, and explain those that cannot be resolved."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from omegaconf import DictConfig, ListConfig
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
)

from espnet3.errors import ConfigError, did_you_mean
from espnet3.utils.config_sources import attach_sources, flat_key, get_sources, indexed_key, locate
from espnet3.utils.instantiate import to_plain
from espnet3.utils.yaml_source import SourcePosition

logger = logging.getLogger(__name__)

_REFERENCE = re.compile(r"""\$\{\s*(\.*)([^\s:{}$,'"]+)\s*\}""")
_UNSET_NOTE = re.compile(r"uses .+, which is null")
_ABSENT: Any = object()


class BrokenInterpolationError(ConfigError, InterpolationResolutionError):
    """An interpolation has no value."""


class UnknownInterpolationError(ConfigError, InterpolationKeyError):
    """An interpolation names a key that does not exist."""


def resolve_config(config: DictConfig, *, late_files: bool = False) -> None:
    """Replace the interpolations of a configuration by their values, in place.

    An interpolation to a mandatory value that is missing (``???``) stays. A path-like value
    (``*_dir``, ``*_path``) that would have a component ``None``, because it uses a null key,
    becomes ``???``: nobody can read it by mistake, and
    :func:`~espnet3.utils.config_sources.locate` says which key is null, also for a value that
    becomes null.

    Args:
        config: Root of a configuration.
        late_files: Leave interpolations alone whose file does not exist yet, because an earlier
            stage of the same run may write it. They are resolved by the next call, or when read.

    Raises:
        UnknownInterpolationError: If an interpolation names a key that does not exist.
        BrokenInterpolationError: If it cannot be resolved for another reason.
    """
    values: list[tuple[Any, Any, Any]] = []
    notes: dict[str, SourcePosition] = {}
    borrowed: set[str] = set()
    for parent, name, path in _interpolations(config, ""):
        try:
            value = to_plain(parent[name])
        except InterpolationToMissingValueError:
            continue
        except OmegaConfBaseException as error:
            if late_files and _is_absent_file(error):
                logger.info("%s waits for a file that does not exist yet: %s", path, _first(error))
                continue
            raise _explain(config, path, error) from error
        is_unset = has_none_component(name, value)
        culprit = null_reference(config, path) if is_unset or value is None else None
        if culprit is not None:
            notes[path] = _unset_note(config, path, culprit)
            if is_unset:
                logger.info("%s is left unset: it %s", path, notes[path].note)
                value = "???"
        values.append((parent, name, value))
        borrowed.add(path)
    for parent, name, value in values:
        parent[name] = value
    table = get_sources(config)
    attach_sources(
        config, positions={**table.positions, **notes}, borrowed=table.borrowed | borrowed
    )


def has_none_component(name: Any, value: Any) -> bool:
    """Tell whether a path-like key has a value such as ``exp/None/infer``."""
    is_path = isinstance(name, str) and name.endswith(("_dir", "_path"))
    return is_path and isinstance(value, str) and "None" in PurePath(value).parts


def null_reference(config: DictConfig, key: str) -> str | None:
    """Return the key that is null or absent and that the value of ``key`` depends on, if any."""
    chain = _broken_chain(config, flat_key(key), ())
    return chain[-1] if chain else None


def _interpolations(node: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield ``(parent, name, dotted path)`` of every raw interpolation."""
    names: list[Any] | range = (
        list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    )
    for name in names:
        child = node._get_node(name)
        child_path = f"{path}.{name}" if path else str(name)
        if child._is_interpolation():
            yield node, name, child_path
        elif isinstance(child, BaseContainer):
            yield from _interpolations(child, child_path)


def _raw(config: DictConfig, path: str) -> Any:
    """Return a raw value, or the prefix of ``path`` that ends in null or in nothing."""
    node: Any = config
    for part in path.split("."):
        if isinstance(node, ListConfig):
            node = node._get_node(int(part)) if part.isdigit() and int(part) < len(node) else None
        elif isinstance(node, DictConfig) and not node._is_none():
            node = node._get_node(part)
        else:
            return _ABSENT
        if node is None:
            return _ABSENT
        if node._is_interpolation():
            return node._value()
    return None if node._is_none() else node


def _broken_chain(config: DictConfig, path: str, seen: tuple[str, ...]) -> list[str] | None:
    """Follow references from ``path`` to the first that is null or absent; return the keys."""
    raw = _raw(config, path)
    if not isinstance(raw, str) or path in seen:
        return None
    for dots, name in _REFERENCE.findall(raw):
        target = flat_key(name)
        if dots:
            target = ".".join([*path.split(".")[: -len(dots)], target])
        value = _raw(config, target)
        if value is None or value is _ABSENT:
            return [target]
        rest = _broken_chain(config, target, (*seen, path))
        if rest:
            return [target, *rest]
    return None


def _explain(config: DictConfig, path: str, error: OmegaConfBaseException) -> ConfigError:
    chain = _broken_chain(config, path, ())
    hint = None
    if chain:
        hint = _similar(config, chain[-1]) or _null_too(config, path, chain[-1])
        message = " -> ".join(["refers to " + chain[0], *chain[1:]])
        message = f"{message}, {_why(config, chain[-1])}"
    else:
        message = f"cannot be resolved: {_first(error)}"
    is_key = isinstance(error, InterpolationKeyError)
    cls: type[ConfigError] = UnknownInterpolationError if is_key else BrokenInterpolationError
    position = locate(config, path)
    return cls(
        message,
        key=indexed_key(path),
        file=position.file if position else None,
        line=position.line if position else None,
        hint=hint,
    )


def _why(config: DictConfig, path: str) -> str:
    """Say which part of a key is null or does not exist."""
    parts = path.split(".")
    prefixes = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    broken = next(p for p in prefixes if _raw(config, p) is None or _raw(config, p) is _ABSENT)
    if _raw(config, broken) is _ABSENT:
        return "which does not exist"
    return "which is null" if broken == path else f"but {broken} is null"


def _null_too(config: DictConfig, path: str, target: str) -> str | None:
    """Advise to null the section that follows another one, which is null."""
    parts = target.split(".")
    for end in range(1, len(parts) + 1):
        if _raw(config, ".".join(parts[:end])) is None:
            section = ".".join(path.split(".")[:end])
            is_sibling = section.rpartition(".")[2] == parts[end - 1] and section != path
            return f"set {indexed_key(section)} to null too" if is_sibling else None
    return None


def _similar(config: DictConfig, path: str) -> str | None:
    section, _, name = path.rpartition(".")
    node = _raw(config, section) if section else config
    return did_you_mean(name, map(str, node.keys())) if isinstance(node, DictConfig) else None


def is_unset_note(text: str | None) -> bool:
    """Tell whether a note says that a value is unset because of another one."""
    return text is not None and _UNSET_NOTE.fullmatch(text) is not None


def _unset_note(config: DictConfig, path: str, culprit: str) -> SourcePosition:
    position = locate(config, path) or SourcePosition("")
    return SourcePosition(position.file, position.line, f"uses {culprit}, which is null")


def _is_absent_file(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, FileNotFoundError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first(error: BaseException) -> str:
    return str(error).partition("\n")[0]
