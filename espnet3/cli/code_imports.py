"""Which packages a recipe's own code asks for, from its source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_OWN = {"espnet3", "egs3", "src", "dataset"}


@dataclass(frozen=True)
class CodeImport:
    """A package that a file asks for."""

    module: str
    file: Path
    line: int
    is_late: bool
    """Whether it is imported on use, inside a function."""


def find_imports(files: Iterable[Path]) -> list[CodeImport]:
    """Return what files import from outside the recipe, espnet3 and the standard library.

    Counts ``import``, ``from … import`` and ``require_package``, wherever they stand, but not what
    is for type checkers only or what the code can do without.
    """
    found: list[CodeImport] = []
    for file in files:
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue  # running it says more than could be said here
        constants = _text_constants(tree)
        for node, is_late in _walk(tree, is_late=False):
            for name in _imported(node, constants):
                top = name.partition(".")[0]
                if top not in _OWN and top not in sys.stdlib_module_names:
                    found.append(CodeImport(top, file, node.lineno, is_late))
    return found


def _walk(node: ast.AST, *, is_late: bool) -> Iterator[tuple[ast.stmt | ast.expr, bool]]:
    for child in ast.iter_child_nodes(node):
        if _is_optional(child):
            continue
        if isinstance(child, ast.stmt | ast.expr):
            yield child, is_late
        inner = is_late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _walk(child, is_late=inner)


def _is_optional(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith("TYPE_CHECKING")
    caught = [h.type for h in node.handlers if h.type] if isinstance(node, ast.Try) else []
    return any("Import" in ast.unparse(kind) or "NotFound" in ast.unparse(kind) for kind in caught)


def _imported(node: ast.AST, constants: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        yield node.module
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("require_package"):
        name = node.args[0] if node.args else None
        if isinstance(name, ast.Name) and name.id in constants:
            yield constants[name.id]
        elif isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def _text_constants(tree: ast.Module) -> dict[str, str]:
    return {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
