"""Dotted references from a system to a value of its configurations, and to a log folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.errors import did_you_mean


def lookup(root: Any, reference: str) -> Any:
    """Follow a dotted path through attributes and mappings.

    Returns:
        The value; ``None`` when any step is absent, mandatory but missing, or fails in any way:
        where a stage logs must not decide whether it runs.

    Example:
        >>> lookup({"a": {"b": 1}}, "a.b"), lookup({"a": None}, "a.b.c")
        (1, None)
    """
    node = root
    for name in reference.split("."):
        try:
            node = node.get(name) if hasattr(node, "get") else getattr(node, name, None)
        except Exception:  # noqa: BLE001 - a property of a recipe may raise whatever it likes
            return None
        if node is None:
            return None
    return node


def resolve_log_dir(root: Any, reference: Any) -> Path | None:
    """Turn a log reference into a folder.

    Args:
        root: Object at which dotted references start.
        reference: Dotted path; a ``Path`` taken as it is; or a list or tuple of references, the
            first of which that leads somewhere counts.

    Returns:
        The folder; ``None`` when the reference leads nowhere or has another type.
    """
    if isinstance(reference, Path):
        return reference
    if isinstance(reference, list | tuple):
        folders = (resolve_log_dir(root, item) for item in reference)
        return next((folder for folder in folders if folder is not None), None)
    value = lookup(root, reference) if isinstance(reference, str) else None
    return Path(value) if isinstance(value, str | Path) and str(value).strip() else None


def check_log_mapping(system: Any, mapping: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with the stages and references of a log mapping.

    Args:
        system: Object with the stages, at which dotted references start.
        mapping: Stage → reference, as :func:`resolve_log_dir` takes it.
    """
    names = [name for name in dir(type(system)) if not name.startswith("_")]
    for stage, reference in mapping.items():
        if not callable(getattr(system, stage, None)):
            hint = did_you_mean(stage, names)
            yield f"{stage!r} is no stage" + (f"; {hint}" if hint else "")
        for text in reference if isinstance(reference, list | tuple) else [reference]:
            root = text.partition(".")[0] if isinstance(text, str) else None
            if root is not None and root not in dir(system) and lookup(system, root) is None:
                hint = did_you_mean(root, [*names, *vars(system)])
                yield f"{stage}: nothing is called {root!r}" + (f"; {hint}" if hint else "")
