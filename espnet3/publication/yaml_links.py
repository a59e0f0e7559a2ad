"""How one YAML file of a bundle refers to others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError
from espnet3.publication.limited_yaml import read_mapping
from espnet3.utils.path_utils import is_file

_PLAIN_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_FILE_RESOLVER = re.compile(
    r"\$\{\s*(?:load_yaml|load_line)\s*:\s*"
    r"(?:'([^']*)'|\"([^\"]*)\"|((?:\$\{[^{}]*\}|[^,{}])+))"
)
_YAML_SUFFIXES = (".yaml", ".yml")
_MOST_CHARACTERS = 100_000


def expand_references(text: str, document: Mapping[str, Any], limit: int = 16) -> str:
    """Replace ``${dotted.key}`` by scalars of the same document; leave everything else alone.

    No resolver is called, so this is safe on a config that nobody vouches for.

    Raises:
        ConfigError: If that gives a text that is far longer than a path.

    Example:
        >>> expand_references("${recipe_dir}/exp", {"recipe_dir": "/bundle"})
        '/bundle/exp'
    """
    grown = 0

    def lookup(match: re.Match[str]) -> str:
        nonlocal grown
        value: Any = document
        for part in match.group(1).split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found = str(value) if isinstance(value, str | int | float) else match.group()
        grown += len(found)
        if grown > _MOST_CHARACTERS:
            raise ConfigError(f"{text[:80]!r} expands to more than {_MOST_CHARACTERS} characters")
        return found

    for _ in range(limit):
        expanded = _PLAIN_REFERENCE.sub(lookup, text)
        if expanded == text:
            break
        text = expanded
    return text


def iter_strings(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield ``(dotted key, text)`` of every string in plain containers."""
    if isinstance(node, str):
        yield key, node
    elif isinstance(node, Mapping):
        for name, child in node.items():
            yield from iter_strings(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from iter_strings(child, f"{key}[{index}]")


def iter_targets(node: Any) -> Iterator[tuple[str, str]]:
    """Yield key and dotted path of what building a configuration imports."""
    for key, text in iter_strings(node):
        if key.rpartition(".")[2] in ("_target_", "output_fn") and "${" not in text:
            yield key, text


def iter_named(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield key and value of every ``_target_`` and ``output_fn``, be it a usable name or not."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            inner = f"{key}.{name}" if key else str(name)
            if name in ("_target_", "output_fn") and child is not None:
                yield inner, child
            else:
                yield from iter_named(child, inner)
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from iter_named(child, f"{key}[{index}]")


def iter_default_entries(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files named by a ``defaults`` list, relative to the file that holds it."""
    entries = document.get("defaults")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, str) and entry != "_self_":
            yield _with_suffix(entry)
        elif isinstance(entry, Mapping):
            for group, name in entry.items():
                if name is not None:
                    inside = f"{name}" if "/" in str(name) else f"{group}/{name}"
                    yield _with_suffix(inside)


def iter_loaded_files(text: str) -> Iterator[str]:
    """Yield the file arguments of ``${load_yaml:…}`` and ``${load_line:…}`` in a text."""
    for match in _FILE_RESOLVER.finditer(text):
        yield next(group for group in match.groups() if group is not None).strip()


def linked_files(document: Mapping[str, Any], folder: Path, bundle_root: Path) -> set[Path]:
    """Return the existing files that a YAML document refers to.

    Args:
        document: Content of the file, unresolved.
        folder: Folder of the file; relative references start here.
        bundle_root: What ``${recipe_dir}`` stands for.
    """
    scope = {**document, "recipe_dir": str(bundle_root)}
    names: list[str] = list(iter_default_entries(document))
    for _, text in iter_strings(document):
        names += iter_loaded_files(text)
        if text.endswith(_YAML_SUFFIXES):
            names.append(text)
    found = (folder / expand_references(name, scope) for name in names)
    return {path.resolve() for path in found if is_file(path)}


def reachable_yaml(roots: Iterable[Path], bundle_root: Path) -> set[Path]:
    """Return the YAML files that can be reached from ``roots``, these included.

    Args:
        roots: Files to start from; those that do not exist are ignored.
        bundle_root: What ``${recipe_dir}`` stands for.
    """
    waiting = [path.resolve() for path in roots if path.is_file()]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen or path.suffix not in _YAML_SUFFIXES:
            continue
        seen.add(path)
        document = read_mapping(path)
        if document is not None:
            waiting += linked_files(document, path.parent, bundle_root)
    return seen


def _with_suffix(name: str) -> str:
    # Composition reads `x.yml` as `x.yml.yaml`; what is checked must be what is read.
    return name if name.endswith(".yaml") else f"{name}.yaml"
