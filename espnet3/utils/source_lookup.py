"""Look up what dotted paths name, and what it takes, in source files instead of by importing."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, did_you_mean

_DYNAMIC = ("__getattr__", "globals()", "sys.modules[", "_LazyModule")
_SUFFIXES = tuple(importlib.machinery.all_suffixes())
_TYPES: dict[str, Any] = {"bool": bool, "int": int, "float": float}
_MAX_HOPS = 5

_Definition = ast.ClassDef | ast.FunctionDef


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


def find_parameters(path: str) -> dict[str, Any] | None:
    """Return the keyword arguments of a class or function.

    Args:
        path: Dotted path; names that a package imports from elsewhere are followed.

    Returns:
        Name → type, where the source says that it is ``bool``, ``int`` or ``float``, else ``Any``.
        ``None`` when any keyword is taken, or nobody can tell without importing.
    """
    function = _find_callee(path.split("."))
    if function is None or function.args.kwarg is not None:
        return None
    arguments = function.args
    bound = int(function.name == "__init__" and not arguments.posonlyargs)
    named = [*arguments.args[bound:], *arguments.kwonlyargs]
    return {argument.arg: _plain_type(argument.annotation) for argument in named}


def find_source(path: str) -> Path | None:
    """Return the source file of the module in a dotted path; ``None`` if there is none."""
    found = _find_module(path.split("."))
    if found is None or found[2] == len(path.split(".")):
        return None
    return found[0]


def _find_callee(parts: list[str]) -> ast.FunctionDef | None:
    """Return the function, or the ``__init__`` that a class has or inherits from its one base."""
    for hop in range(_MAX_HOPS):
        module, definition = _find_definition(parts, _MAX_HOPS)
        if not isinstance(definition, ast.ClassDef):
            return None if hop else definition
        own = {node.name: node for node in definition.body if isinstance(node, ast.FunctionDef)}
        if definition.keywords or "__new__" in own:  # a metaclass may change everything
            return None
        if "__init__" in own:
            return own["__init__"]
        if len(definition.bases) != 1 or not isinstance(definition.bases[0], ast.Name):
            return None
        parts = [*module, definition.bases[0].id]
    return None


def _find_definition(parts: list[str], hops: int) -> tuple[list[str], _Definition | None]:
    """Return the module, as its parts, and the statement that defines a class or function."""
    source, _, depth = _find_module(parts) or (None, [], 0)
    if source is None or depth != len(parts) - 1 or not hops:
        return [], None
    body, name = _parse(source) or [], parts[-1]
    defined = [n for n in body if isinstance(n, _Definition) and n.name == name]
    if defined:
        is_clear = len(defined) == 1 and all(map(_keeps_signature, defined[0].decorator_list))
        return parts[:depth], defined[0] if is_clear else None
    for node in (statement for statement in body if isinstance(statement, ast.ImportFrom)):
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                package = parts[: depth if source.stem == "__init__" else depth - 1]
                above = package[: len(package) - node.level + 1] if node.level else []
                module = node.module.split(".") if node.module else []
                return _find_definition([*above, *module, alias.name], hops - 1)
    return [], None


def _keeps_signature(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id == "trusted_target"


def _plain_type(annotation: ast.expr | None) -> Any:
    text = ast.unparse(annotation) if annotation is not None else ""
    return _TYPES.get(text.removesuffix(" | None"), Any)


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
    body = _parse(source)
    names = frozenset(_bound(body or ()))
    return None if body is None or "*" in names else names


@functools.lru_cache(maxsize=16)
def _parse(source: Path) -> list[ast.stmt] | None:
    """Return the statements of a module, ``None`` if it is no Python."""
    try:
        return ast.parse(source.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError):
        return None


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
