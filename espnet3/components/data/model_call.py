"""Call a model with a batch; say what does not fit when their names differ."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from espnet3.errors import DataError


class BatchKeysError(DataError, TypeError):
    """A batch lacks what a model needs, or has what it does not take."""


def call_with_batch(function: Callable[..., Any], batch: Mapping[str, Any], name: str) -> Any:
    """Return ``function(**batch)``.

    Args:
        function: A bound method, or a module, whose ``forward`` is meant.
        batch: Keyword arguments.
        name: Method for the message, such as ``MyModel.forward``.

    Raises:
        BatchKeysError: If the names of the arguments are others.
        Exception: What the function raises, unchanged.
    """
    try:
        return function(**batch)
    except TypeError as error:
        complaint = _compare(getattr(function, "forward", function), batch, name)
        if complaint is None:
            raise
        raise BatchKeysError(complaint) from error


def _compare(function: Callable[..., Any], batch: Mapping[str, Any], name: str) -> str | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    needed = [p.name for p in parameters if p.name in known and p.default is p.empty]
    lacking = [needs for needs in needed if needs not in batch]
    if lacking:
        return (
            f"{name} needs {', '.join(lacking)}, and the batch has: {', '.join(batch)}\n"
            "  a batch holds the numbers of the samples: a text gets there as the ids that"
            " dataset.preprocessor makes of it"
        )
    unknown = [key for key in batch if key not in known]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        return f"{name} takes no {', '.join(unknown)}\n  add **_ to its arguments to pass over them"
    return None
