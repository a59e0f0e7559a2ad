"""Read from source files what a class or function takes, without importing it."""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, Never

from espnet3.utils.espnet2_table import find_arguments
from espnet3.utils.source_lookup import MAX_HOPS, find_definition
from espnet3.utils.target_aliases import serving_target

_TYPES: dict[str, Any] = {"bool": bool, "int": int, "float": float}
_NEVER_IN_YAML = ("Tensor", "ndarray")
_PLAIN = ("bool", "int", "float", "str", "Path", "PathLike")
_HARMLESS = {"abstractmethod", "abc.abstractmethod"}
"""Decorators that do not change what a method takes."""
_LISTS = ("list", "List", "Sequence")
_TUPLES = ("tuple", "Tuple")


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Keyword arguments of a class or function."""

    owner: str
    """Dotted path of the class or function that has the arguments; a base class for a subclass
    without ``__init__``."""
    parameters: dict[str, Any]
    """Name → type, where the source says something that YAML can hold, else ``Any``."""
    required: tuple[str, ...]
    """Names without a default, in order."""
    takes_any: bool
    """Whether there is a ``**kwargs``."""
    plain: frozenset[str] = frozenset()
    """Required names that are annotated as a text, a number or a path, and nothing else."""

    def allows_null(self, name: str) -> bool:
        """Tell whether null may be given; yes where the source does not say."""
        hint = self.parameters.get(name, Any)
        return hint is Any or NoneType in getattr(hint, "__args__", ())


def find_signature(
    path: str, *, method: str = "__init__", root: Path | None = None
) -> Signature | None:
    """Look up what a class or function takes; for ESPnet2, installed or not, in a table.

    Args:
        path: Dotted path; names that a package imports from elsewhere are followed.
        method: Method that counts if it is a class.
        root: Folder that goes before the import path.

    Returns:
        ``None`` when nobody can tell without importing.
    """
    # What ESPnet2 takes counts also where ours stands in, because the recipe is written for it.
    known = find_arguments(path)
    if known is not None:
        return Signature(
            owner=path,
            parameters=dict.fromkeys(known["parameters"], Any),
            required=tuple(known["required"]),
            takes_any=known["takes_any"],
        )
    owner, function, bound = _find_callee(serving_target(path), method, root)
    if function is None:
        return None
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    num_optional = len(arguments.defaults)
    required = positional[bound : len(positional) - num_optional]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required += [argument for argument, default in pairs if default is None]
    named = [*positional[bound:], *arguments.kwonlyargs]
    no_keywords = {argument.arg for argument in arguments.posonlyargs}
    is_ours = owner.startswith("espnet3.")
    optional = _null_defaults(arguments)
    return Signature(
        owner=owner,
        parameters={
            a.arg: _with_null(_read_hint(a.annotation, is_ours), a.arg in optional)
            for a in named
            if a.arg not in no_keywords
        },
        required=tuple(a.arg for a in required),
        takes_any=arguments.kwarg is not None,
        plain=frozenset(a.arg for a in required if _is_plain(a.annotation)),
    )


def find_fields(path: str, name: str, *, root: Path | None = None) -> Signature | None:
    """Look up the fields of the dataclass that a class names in one of its attributes.

    Args:
        path: Dotted path of the class.
        name: Attribute whose value is the dataclass, written in the body of the class.
        root: Folder that goes before the import path.

    Returns:
        ``None`` when there is no such attribute, or nobody can tell without importing.
    """
    module, definition = find_definition(path, root, with_decorators=True)
    if not isinstance(definition, ast.ClassDef):
        return None
    values = {target: value for n in definition.body for target, value in _assigned(n)}
    if not isinstance(values.get(name), ast.Name):
        return None
    owner = ".".join([*module, values[name].id])  # type: ignore[union-attr]
    _, settings = find_definition(owner, root, with_decorators=True)
    if not isinstance(settings, ast.ClassDef) or settings.bases:
        return None
    fields = [n for n in settings.body if isinstance(n, ast.AnnAssign)]
    hints = {ast.unparse(n.target): _read_hint(n.annotation, is_ours=False) for n in fields}
    required = tuple(ast.unparse(n.target) for n in fields if n.value is None)
    return Signature(owner=owner, parameters=hints, required=required, takes_any=False)


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield ast.unparse(target), node.value
    elif isinstance(node, ast.AnnAssign):
        yield ast.unparse(node.target), node.value


def _find_callee(
    path: str, method: str, root: Path | None
) -> tuple[str, ast.FunctionDef | None, int]:
    """Return the owner, the function or method, and how many arguments are bound already."""
    for hop in range(MAX_HOPS):
        module, definition = find_definition(path, root)
        if not isinstance(definition, ast.ClassDef):
            return ".".join([*module, path.rpartition(".")[2]]), None if hop else definition, 0
        own = {node.name: node for node in definition.body if isinstance(node, ast.FunctionDef)}
        if definition.keywords or "__new__" in own:  # a metaclass may change everything
            break
        if method in own:
            owner = ".".join([*module, definition.name])
            decorators = {ast.unparse(node) for node in own[method].decorator_list}
            return owner, None if decorators - _HARMLESS else own[method], 1
        if len(definition.bases) != 1 or not isinstance(definition.bases[0], ast.Name):
            break
        path = ".".join([*module, definition.bases[0].id])
    return path, None, 0


def _null_defaults(arguments: ast.arguments) -> set[str]:
    """Return the names whose default is ``None``, whatever their annotation says."""
    positional = [*arguments.posonlyargs, *arguments.args]
    last = positional[len(positional) - len(arguments.defaults) :]
    pairs = [
        *zip(last, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {a.arg for a, d in pairs if isinstance(d, ast.Constant) and d.value is None}


def _is_plain(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("'") in _PLAIN


def _with_null(hint: Any, allows_null: bool) -> Any:
    if hint is Never:
        return Any
    return hint | None if allows_null and hint is not Any else hint


def _read_hint(node: ast.expr | None, is_ours: bool) -> Any:
    """Turn an annotation into a type that a configured value can be checked against."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _read_text(node.value, is_ours)
        return NoneType if node.value is None else Any
    if isinstance(node, ast.Name):
        if node.id in _NEVER_IN_YAML:
            return Never
        # Foreign code annotates loosely: what says `str` often takes a number as well.
        return str if is_ours and node.id == "str" else _TYPES.get(node.id, Any)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([_read_hint(node.left, is_ours), _read_hint(node.right, is_ours)])
    if isinstance(node, ast.Subscript):
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        return _read_generic(name, node.slice, is_ours)
    return Any


def _read_text(text: str, is_ours: bool) -> Any:
    try:
        return _read_hint(ast.parse(text, mode="eval").body, is_ours)
    except SyntaxError:
        return Any


def _read_generic(name: str, inner: ast.expr, is_ours: bool) -> Any:
    items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        values = [item.value for item in items if isinstance(item, ast.Constant)]
        return Literal[tuple(values)] if len(values) == len(items) else Any
    if name in _TUPLES and isinstance(items[-1], ast.Constant) and items[-1].value is ...:
        name, items = "list", items[:1]
    hints = [_read_hint(item, is_ours) for item in items]
    if name == "Optional":
        return _union([*hints, NoneType])
    if name == "Union":
        return _union(hints)
    if Any in hints or Never in hints:
        return Any
    if name in _LISTS:
        return list[hints[0]]  # type: ignore[valid-type]
    return tuple[tuple(hints)] if name in _TUPLES else Any  # type: ignore[misc]


def _union(hints: list[Any]) -> Any:
    possible = [hint for hint in hints if hint is not Never]
    is_unknown = Any in hints or all(hint is NoneType for hint in possible)
    return Any if is_unknown else functools.reduce(operator.or_, possible)
