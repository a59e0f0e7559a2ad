"""Look up what dotted paths name in source files instead of by importing."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from espnet3.errors import ConfigError, did_you_mean
from espnet3.utils.espnet2_table import check_espnet2_path
from espnet3.utils.target_aliases import serving_target

_DYNAMIC = ("__getattr__", "globals()", "sys.modules[", "_LazyModule")
_SUFFIXES = tuple(importlib.machinery.all_suffixes())
MAX_HOPS = 5
"""Imports and base classes that are followed."""

Definition = ast.ClassDef | ast.FunctionDef


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
    parts = serving_target(path).split(".")
    found = _find_module(parts)
    if found is None and parts[0] == "espnet2":
        return check_espnet2_path(path, key=key)
    if found is None:
        return ConfigError(
            f"no module named {parts[0]!r}",
            key=key,
            value=path,
            hint="check the spelling, and that the recipe directory or package is importable"
            if len(parts) > 1
            else f"a dotted path, such as src.model.{path} or torch.optim.AdamW",
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


def find_definition(
    path: str,
    root: Path | None = None,
    hops: int = MAX_HOPS,
    *,
    with_decorators: bool = False,
) -> tuple[list[str], Definition | None]:
    """Find the statement that defines a class or function; imports of it are followed.

    Args:
        path: Dotted path.
        root: Folder that goes before the import path.
        hops: Number of imports to follow.
        with_decorators: Find it although a decorator may change what it takes.

    Returns:
        The parts of its module, and the statement; ``None`` when nobody can tell without importing.
    """
    parts = path.split(".")
    source, _, depth = _find_module(parts, root) or (None, [], 0)
    if source is None or depth != len(parts) - 1 or not hops:
        return [], None
    body, name = parse_source(source) or [], parts[-1]
    defined = [n for n in body if isinstance(n, Definition) and n.name == name]
    if defined:
        is_clear = with_decorators or all(map(_keeps_signature, defined[0].decorator_list))
        is_clear = is_clear and len(defined) == 1
        return parts[:depth], defined[0] if is_clear else None
    package = parts[: depth if source.stem == "__init__" else depth - 1]
    for origin in _origins(body, name, package):
        found = find_definition(origin, root, hops - 1, with_decorators=with_decorators)
        if found[1] is not None:
            return found
    return [], None


def _origins(body: list[ast.stmt], name: str, package: list[str]) -> list[str]:
    """Return where a module imports a name from: its own import, else every ``*``."""
    named, starred = [], []
    for node in (statement for statement in body if isinstance(statement, ast.ImportFrom)):
        above = package[: len(package) - node.level + 1] if node.level else []
        module = [*above, *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                named.append(".".join([*module, alias.name]))
            elif alias.name == "*":
                starred.append(".".join([*module, name]))
    return named or starred


def find_source(path: str) -> Path | None:
    """Return the source file of the module in a dotted path; ``None`` if there is none."""
    found = _find_module(path.split("."))
    if found is None or found[2] == len(path.split(".")):
        return None
    return found[0]


def module_exists(path: str, root: Path | None = None) -> bool:
    """Tell whether a module or package exists, with or without source."""
    found = _find_module(path.split("."), root)
    return found is not None and found[2] == len(path.split("."))


def _keeps_signature(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id == "trusted_target"


def _find_module(
    parts: list[str], root: Path | None = None
) -> tuple[Path | None, list[Path], int] | None:
    """Return the source, the folders and the depth of the longest prefix that is a module."""
    found = None if root is None else _step_into([root], parts[0])
    found = found or _find_top(parts[0])
    if found is None:
        return None
    source, folders = found
    for depth, part in enumerate(parts[1:], start=1):
        step = _step_into(folders, part)
        if step is None:
            return source, folders, depth
        source, folders = step
    return source, folders, len(parts)


def _find_top(name: str) -> tuple[Path | None, list[Path]] | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    source = _source(Path(spec.origin)) if spec.has_location and spec.origin else None
    # An imported package may have more folders than its specification says, as `egs3` does.
    places = getattr(sys.modules.get(name), "__path__", spec.submodule_search_locations)
    return source, [Path(folder) for folder in places or ()]


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


def _defined_names(source: Path) -> frozenset[str] | None:
    """Return the names that a module binds at its top level; ``None`` when that is not certain."""
    return _defined_names_cached(source, _stamp(source))


@functools.lru_cache(maxsize=256)
def _defined_names_cached(source: Path, stamp: tuple[int, int]) -> frozenset[str] | None:
    text = source.read_text(encoding="utf-8")
    if any(word in text for word in _DYNAMIC):
        return None
    body = parse_source(source)
    names = frozenset(_bound(body or ()))
    return None if body is None or "*" in names else names


def parse_source(source: Path) -> list[ast.stmt] | None:
    """Return the statements of a module, ``None`` if it is no Python."""
    return _parse_cached(source, _stamp(source))


@functools.lru_cache(maxsize=64)
def _parse_cached(source: Path, stamp: tuple[int, int]) -> list[ast.stmt] | None:
    try:
        return ast.parse(source.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError):
        return None


def _stamp(source: Path) -> tuple[int, int]:
    """Return what changes when a file is edited, so that a notebook sees its new code."""
    status = source.stat()
    return status.st_mtime_ns, status.st_size


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
