"""Write JSON, and say which part of a value is none."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from espnet3.errors import ModelOutputError


def dump_plain(value: Any, *, what: str, advice: str) -> str:
    """Return one line of JSON.

    Args:
        value: Anything; NaN and infinity are no JSON.
        what: Where the value comes from, as it stands in the message.
        advice: What to do about a value that is no JSON.

    Raises:
        ModelOutputError: If JSON cannot hold it; says which part.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        is_circular = str(error).startswith("Circular")
        parts = "; ".join([] if is_circular else _find_odd_parts(value, "")) or str(error)
        raise ModelOutputError(f"{what} cannot be kept as JSON: {parts}\n  {advice}") from None


def _find_odd_parts(value: Any, place: str) -> Iterator[str]:
    """Yield place and type of what stands in the way."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str | int | float | None):
                yield f"{place or 'it'} has a key of type {type(key).__name__}"
            yield from _find_odd_parts(entry, f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _find_odd_parts(entry, f"{place}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{place or 'it'} is {value}"
    elif not isinstance(value, str | int | float | None):
        yield f"{place or 'it'} is of type {type(value).__name__}"
