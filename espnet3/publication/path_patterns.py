"""Patterns of paths, as in a ``.gitignore``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from espnet3.errors import ConfigError


class PathPatterns:
    """Patterns with the meaning they have in a ``.gitignore``.

    A pattern without a slash matches a name at any depth; one with a slash matches from the top.
    A folder that matches takes everything below with it, and ``x/**`` takes ``x`` too. Unlike
    there, no pattern takes anything back.

    Raises:
        ConfigError: If a pattern begins with ``!``, or has a range of letters that is none.

    Example:
        >>> patterns = PathPatterns(["*.log", "**/tensorboard/**", "/top.txt"])
        >>> [patterns.match(p) for p in ("a/b.log", "a/tensorboard/events", "a/top.txt")]
        [True, True, False]
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._compiled = [_compile(pattern) for pattern in patterns if pattern.strip("/ ")]

    def match(self, path: str | PurePosixPath) -> bool:
        """Tell whether a relative path, or a folder on the way to it, matches."""
        parts = PurePosixPath(path).parts
        prefixes = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        return any(pattern.fullmatch(prefix) for pattern in self._compiled for prefix in prefixes)


def _compile(pattern: str) -> re.Pattern[str]:
    if pattern.startswith("!"):
        raise ConfigError(
            "a pattern that begins with ! has no effect here", key="exclude", value=pattern,
            hint="write patterns that leave out less, or list the file under pack_model.files",
        )  # fmt: skip
    text = pattern.rstrip("/")
    while text.endswith("/**"):
        text = text[:-3]
    if "/" not in text and not pattern.startswith("/"):
        text = f"**/{text}"
    try:
        return re.compile("".join(_translate(text.lstrip("/"))))
    except re.error as error:
        raise ConfigError(f"is no pattern: {error}", key="exclude", value=pattern) from error


def _translate(text: str) -> Iterator[str]:
    position = 0
    for match in re.finditer(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]", text):
        yield re.escape(text[position : match.start()])
        wildcard = match.group()
        if wildcard == "**/":
            yield "(?:[^/]+/)*"
        elif wildcard == "**":
            yield ".*"
        elif wildcard in "*?":
            yield f"[^/]{wildcard if wildcard == '*' else ''}"
        else:
            yield wildcard.replace("[!", "[^")
        position = match.end()
    yield re.escape(text[position:])
