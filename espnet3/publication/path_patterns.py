"""Patterns of paths, as in a ``.gitignore``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from espnet3.errors import ConfigError, did_you_mean

_COMPARED = 5000
"""Paths among which a similar one is looked for."""


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
        self._compiled = {text: _compile(text) for text in patterns if text.strip("/ ")}
        self._used: set[str] = set()
        self._seen: set[str] = set()

    def match(self, path: str | PurePosixPath) -> bool:
        """Tell whether a relative path, or a folder on the way to it, matches."""
        parts = PurePosixPath(path).parts
        prefixes = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        if not self._compiled:
            return False
        found = {
            text
            for text, pattern in self._compiled.items()
            if any(pattern.fullmatch(prefix) for prefix in prefixes)
        }
        self._used |= found
        self._seen.add(prefixes[-1] if prefixes else "")
        return bool(found)

    def describe_unused(self) -> Iterator[tuple[str, str | None]]:
        """Yield each pattern that matched none of the paths so far, and what it may stand for."""
        names = {PurePosixPath(path).name for path in self._seen}
        kinds = {f"*{PurePosixPath(name).suffix}" for name in names} - {"*"}
        for text in self._compiled.keys() - self._used:
            core = text.removeprefix("**/").removesuffix("/**").strip("/")
            known = self._seen if "/" in core else kinds if "*" in core else names
            yield text, did_you_mean(core, itertools.islice(sorted(known), _COMPARED))


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
