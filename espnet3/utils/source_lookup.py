"""Find out whether a dotted path exists, by reading source files instead of importing them."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from espnet3.errors import ConfigError, did_you_mean

_DYNAMIC = ("__getattr__", "globals()", "sys.modules[", "_LazyModule")
_SUFFIXES = tuple(importlib.machinery.all_suffixes())


def check_import_path(path: object, *, key: str) -> ConfigError | None:
    """Return what is wrong with a dotted path, or ``None`` when it exists or nobody can tell.

    Only the first attribute of a module is looked up. Modules without Python source, and modules
    that make their names at run time, get the benefit of the doubt.

    Args:
        path: Value of the key.
        key: Dotted key, for the message.
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        return ConfigError("is not a dotted import path", key=key, value=path)
    parts = path.split(".")
    found = _find_module(parts)
    if found is None:
        return ConfigError(
            f"no module named {parts[0]!r}",
            key=key,
            value=path,
            hint="check the spelling, and that the recipe directory or package is importable",
        )
    source, folders, depth = found
    if depth == len(parts) or source is None:
        return None
    names = _defined_names(source)
    if names is None or parts[depth] in names:
        return None
    module, name = ".".join(parts[:depth]), parts[depth]
    public = sorted({n for n in names | _submodules(folders) if not n.startswith("_")})
    hint = did_you_mean(name, public) or "it has: " + (", ".join(public[:12]) or "nothing public")
    message = f"{module} was found, but it has no attribute {name!r}"
    return ConfigError(message, key=key, value=path, hint=hint)


def _find_module(parts: list[str]) -> tuple[Path | None, list[Path], int] | None:
    """Return the source, the folders and the depth of the longest prefix that is a module."""
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    source = _source(Path(spec.origin)) if spec.has_location and spec.origin else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for depth, part in enumerate(parts[1:], start=1):
        step = _step_into(folders, part)
        if step is None:
            return source, folders, depth
        source, folders = step
    return source, folders, len(parts)


def _step_into(folders: Iterable[Path], part: str) -> tuple[Path | None, list[Path]] | None:
    namespace: list[Path] = []
    for folder in folders:
        package = folder / part
        if (package / "__init__.py").is_file():
            return package / "__init__.py", [package]
        for suffix in _SUFFIXES:
            if (folder / f"{part}{suffix}").is_file():
                return _source(folder / f"{part}{suffix}"), []
        if package.is_dir():
            namespace.append(package)
    return (None, namespace) if namespace else None


def _source(path: Path) -> Path | None:
    return path if path.suffix == ".py" else None


def _submodules(folders: Iterable[Path]) -> set[str]:
    return {path.stem for folder in folders for path in folder.glob("*.py")}


@functools.lru_cache(maxsize=256)
def _defined_names(source: Path) -> frozenset[str] | None:
    """Return the names that a module binds at its top level; ``None`` when that is not certain."""
    text = source.read_text(encoding="utf-8")
    if any(word in text for word in _DYNAMIC):
        return None
    try:
        names = frozenset(_bound(ast.parse(text).body))
    except SyntaxError:
        return None
    return None if "*" in names else names


def _bound(body: Iterable[ast.AST]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        else:
            yield from _bound(ast.iter_child_nodes(node))
