"""What to do about a YAML file that cannot be read."""

from __future__ import annotations

import re

_NO_BLANK = re.compile(r"^\s*(?:- )?[\w.]+:[^\s:/]")
_FIRST_KEY = re.compile(r"^\s*(?:- )?['\"]?([^'\":]+)['\"]?\s*:")


def find_hint(message: str, text: str, line: int | None) -> str | None:
    """Return advice about an error of the YAML parser.

    Args:
        message: What the parser says.
        text: Content of the file.
        line: Line where the parser stopped, counted from 1.
    """
    if "\\t" in message:
        return "indent with blanks: YAML does not allow tabs there"
    if "scanning an alias" in message:
        return 'put a text that begins with * in quotes: "*"'
    duplicate = re.search(r"found duplicate key (.+)$", message)
    if duplicate is not None:
        return _find_twin(duplicate[1], text.splitlines(), line)
    numbered = [n for n, words in enumerate(text.splitlines()[: line or 0], 1) if words.strip()]
    for number in reversed(numbered[-3:]):
        if _NO_BLANK.match(text.splitlines()[number - 1]):
            return f"line {number}: write a blank after the colon"
    if "expected <block end>" in message:
        return (
            "check the indentation: keys of one mapping, and items of one list, are in one column"
        )
    return None


def _find_twin(key: str, lines: list[str], line: int | None) -> str:
    """Say where the first of two equal keys stands."""
    last = _key_and_indent(lines[line - 1]) if line else None
    if last is not None and last[0] == key:
        for number in range((line or 0) - 1, 0, -1):
            if _key_and_indent(lines[number - 1]) == last:
                return f"it is in line {number} too: make one of both"
    return "it is in this line twice: keep one of both"


def _key_and_indent(line: str) -> tuple[str, int] | None:
    match = _FIRST_KEY.match(line)
    return None if match is None else (match[1].strip(), len(line) - len(line.lstrip()))
