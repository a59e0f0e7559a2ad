"""Short human descriptions of models, optimizers and data sets, for logs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sized
from pathlib import Path
from typing import Any

_MAX_TEXT = 200


def build_qualified_name(obj: Any) -> str:
    """Name the class of an object, or show a builtin value.

    Args:
        obj: A class, an instance of one, or a builtin value.

    Returns:
        ``module.Class`` for classes and instances; ``list(len=3)`` for builtin containers and
        strings; other builtin values as text, cut to 200 characters.

    Example:
        >>> build_qualified_name([1, 2, 3]), build_qualified_name(Path)
        ('list(len=3)', 'pathlib.Path')
    """
    if isinstance(obj, type):
        return f"{obj.__module__}.{obj.__qualname__}"
    kind = type(obj)
    if kind.__module__ != "builtins":
        return f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(obj, Sized):
        return f"{kind.__name__}(len={len(obj)})"
    return _cut(str(obj))


def build_callable_name(func: Callable[..., Any]) -> str:
    """Name a function, method or class as ``module.qualname``; other callables by their class.

    Example:
        >>> import json
        >>> build_callable_name(json.dumps)
        'json.dumps'
    """
    module = getattr(func, "__module__", None)
    name = getattr(func, "__qualname__", None)
    if module and name:
        return f"{module}.{name}"
    return type(func).__name__


def log_component(
    logger: logging.Logger, kind: str, label: str, obj: Any, max_depth: int = 2
) -> None:
    """Log the class, the ``repr`` and the public attributes of an object.

    Args:
        logger: Where to log, at INFO.
        kind: What sort of object it is, for example ``Optimizer``.
        label: Which one it is, for example ``0`` or ``train``.
        obj: The object; ``None`` logs nothing. Iterators in it are never consumed.
        max_depth: How many levels of attributes to show.
    """
    if obj is None:
        return
    logger.info("%s[%s] class: %s", kind, label, build_qualified_name(obj), stacklevel=2)
    logger.info("%s[%s]: %s", kind, label, _safe_repr(obj), stacklevel=2)
    for line in _attribute_lines(obj, max_depth, indent=1, seen={id(obj)}):
        logger.info("%s", line, stacklevel=2)


def log_instance_dict(
    logger: logging.Logger, kind: str, entries: Mapping[str, Any] | None, max_depth: int = 2
) -> None:
    """Log each object of a mapping as a component; an empty mapping logs nothing."""
    for label, obj in (entries or {}).items():
        log_component(logger, kind, str(label), obj, max_depth=max_depth)


def _attribute_lines(obj: Any, max_depth: int, indent: int, seen: set[int]) -> Iterator[str]:
    if max_depth < 1:
        return
    for name, value in sorted(_attributes(obj).items()):
        if name.startswith("_"):
            continue
        yield f"{'  ' * indent}{name}: {_summary(value)}"
        if id(value) not in seen and not _is_leaf(value):
            # The ids stay valid: every object seen is held by its parent meanwhile.
            yield from _attribute_lines(value, max_depth - 1, indent + 1, seen | {id(value)})


def _attributes(obj: Any) -> Mapping[str, Any]:
    try:
        attributes: Mapping[str, Any] = vars(obj)
    except Exception:  # noqa: BLE001 - without `__dict__`, or with a `__getattr__` of its own
        return {}
    return attributes


def _is_leaf(value: Any) -> bool:
    return isinstance(value, type | Path) or callable(value) or _is_iterator(value)


def _is_iterator(value: Any) -> bool:
    # The class is asked: an instance may answer with any exception.
    return hasattr(type(value), "__next__")


def _summary(value: Any) -> str:
    is_module = callable(value) and hasattr(type(value), "parameters")
    if is_module or _is_iterator(value):
        return build_qualified_name(value)
    return _cut(_safe_repr(value))


def _safe_repr(obj: Any) -> str:
    """Return ``repr(obj)``; a failing one must not end the stage that only wanted to log."""
    try:
        return repr(obj)
    except Exception as error:  # noqa: BLE001
        return f"<{type(obj).__qualname__}: repr failed with {type(error).__name__}: {error}>"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."
