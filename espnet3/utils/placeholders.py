"""Recognise values that a template holds for the user to replace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from espnet3.utils.config_merge import walk

_PLACEHOLDER = re.compile(
    r"(^|/)path/to(/|$)"
    r"|(^|[/\s])your[-_ ]?(account|corpus|data|dataset|demo|model|name|org|path|repo|user)",
    re.IGNORECASE,
)


def is_placeholder(value: Any) -> bool:
    """Tell whether a value was meant to be replaced.

    Example:
        >>> is_placeholder("/path/to/your/dataset"), is_placeholder("your-name/your-model")
        (True, True)
        >>> is_placeholder("/data/librispeech")
        False
    """
    return isinstance(value, str) and _PLACEHOLDER.search(value) is not None


def find_placeholders(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield dotted path and text of every placeholder in plain containers."""
    for key, child in [(path, value), *walk(value, path)]:
        if is_placeholder(child):
            yield key, child
