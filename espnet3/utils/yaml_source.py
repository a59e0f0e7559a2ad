"""Read YAML files and remember where each key stands."""

from __future__ import annotations

import functools
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# The loader behind OmegaConf.load: `1e-3` is a float, dates stay text, duplicate keys are errors.
from omegaconf._utils import get_yaml_loader

from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils.types import PathLike
from espnet3.utils.yaml_hints import find_hint

MAX_BYTES = 64 * 2**20
"""Largest file that a configuration may be or refer to."""


@dataclass(frozen=True)
class SourcePosition:
    """Where a configuration key was written."""

    file: str
    line: int | None = None
    """Counted from 1; ``None`` when only the file is known."""
    note: str | None = None
    """Why the value is unset, when something is known about that."""


@dataclass(frozen=True)
class YamlDocument:
    """Content of a YAML file and the position of each key, by dotted path (``a.0.b``)."""

    value: Any
    positions: dict[str, SourcePosition]


class YamlReaderError(ConfigError, yaml.reader.ReaderError):
    """A YAML file holds characters that YAML forbids."""

    __str__ = Exception.__str__


class YamlScannerError(ConfigError, yaml.scanner.ScannerError):
    """A YAML file holds a character that cannot stand there, for example a tab."""

    __str__ = Exception.__str__


class YamlParserError(ConfigError, yaml.parser.ParserError):
    """The structure of a YAML file is broken."""

    __str__ = Exception.__str__


class YamlComposerError(ConfigError, yaml.composer.ComposerError):
    """A YAML file has several documents, or an alias without anchor."""

    __str__ = Exception.__str__


class YamlConstructorError(ConfigError, yaml.constructor.ConstructorError):
    """A YAML file repeats a key or uses a tag that is not allowed."""

    __str__ = Exception.__str__


_ERRORS: tuple[type[ConfigError], ...] = (
    YamlReaderError,
    YamlScannerError,
    YamlParserError,
    YamlComposerError,
    YamlConstructorError,
)


def read_yaml(path: PathLike) -> YamlDocument:
    """Read a YAML file; the result is shared between callers and must not be changed.

    Raises:
        MissingFileError: If the file does not exist.
        ConfigError: If it is no regular file, too large, not UTF-8 or not YAML; also a
            ``yaml.YAMLError`` of the matching class in the last case.
    """
    return _read_cached(Path(path), file_stamp(path))


def file_stamp(path: PathLike) -> tuple[int, int, int]:
    """Return what changes when a regular file changes.

    Raises:
        MissingFileError: If the file does not exist.
        ConfigError: If it is a device, pipe or folder, or larger than :data:`MAX_BYTES`.
    """
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError("no such file", file=str(path)) from error
    if not stat.S_ISREG(status.st_mode):
        files = sorted(Path(path).glob("*.yaml")) if stat.S_ISDIR(status.st_mode) else []
        hint = f"name a file: {', '.join(map(str, files))}" if files else None
        raise ConfigError("is not a regular file", file=str(path), hint=hint)
    if status.st_size > MAX_BYTES:
        raise ConfigError(f"is larger than {MAX_BYTES} bytes", file=str(path))
    return status.st_mtime_ns, status.st_size, status.st_ino


def parse_yaml(text: str, file: str) -> YamlDocument:
    """Parse one YAML document; ``file`` is the name that messages give.

    Raises:
        ConfigError: If it is nested hundreds of levels deep, or not YAML; also a
            ``yaml.YAMLError`` of the matching class in the latter case.
    """
    try:
        loader = get_yaml_loader()(text)
        try:
            node = loader.get_single_node()
            value = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
        raise _annotated(error, text, file) from error
    except RecursionError:
        raise ConfigError("is nested too deeply", file=file) from None
    positions = {} if node is None else dict(_walk(node, "", file, ()))
    return YamlDocument(value, positions)


@functools.lru_cache(maxsize=128)
def _read_cached(path: Path, stamp: tuple[int, int, int]) -> YamlDocument:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text ({error})", file=str(path)) from error
    return parse_yaml(text, str(path))


def _walk(
    node: yaml.Node, path: str, file: str, above: tuple[yaml.Node, ...]
) -> Iterator[tuple[str, SourcePosition]]:
    """Yield the position of every key and list item below ``node``."""
    if node in above:
        raise ConfigError("an alias refers to a node that holds it", key=path, file=file)
    children: list[tuple[str, int, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(_key_name(k, file), k.start_mark.line, v) for k, v in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(i), v.start_mark.line, v) for i, v in enumerate(node.value)]
    for name, line, child in children:
        child_path = f"{path}.{name}" if path else name
        yield child_path, SourcePosition(file, line + 1)
        yield from _walk(child, child_path, file, (*above, node))


def _key_name(node: yaml.Node, file: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null"):
        raise ConfigError(
            "a key must be text or a number", file=file, line=node.start_mark.line + 1
        )
    return str(node.value)


def _annotated(
    error: yaml.MarkedYAMLError | yaml.reader.ReaderError, text: str, file: str
) -> ConfigError:
    """Return the same error with file and line, and with the class of a configuration error."""
    cls: type[ConfigError] = next(c for c in _ERRORS if isinstance(error, c.__bases__[-1]))
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return cls(f"YAML forbids the character U+{error.character:04X}", file=file, line=line)
    mark = error.problem_mark or error.context_mark
    message = " ".join(part for part in (error.context, error.problem) if part)
    number = None if mark is None else mark.line + 1
    annotated = cls(message, file=file, line=number, hint=find_hint(message, text, number))
    for name in ("context", "context_mark", "problem", "problem_mark", "note"):
        setattr(annotated, name, getattr(error, name))
    return annotated
