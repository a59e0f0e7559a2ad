"""Secrets and paths of this machine: redact them in our own files, find them in copied ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.utils.redaction import MASK

TEXT_SUFFIXES = frozenset(
    {
        ".cfg",
        ".csv",
        ".ini",
        ".json",
        ".jsonl",
        ".md",
        ".py",
        ".sh",
        ".toml",
        ".tsv",
        ".txt",
        ".yaml",
        ".yml",
    }
)
HOST_PATH = "path of this machine"
"""Kind of a finding that is no secret."""
MAX_TEXT_BYTES = 8 * 2**20

_SECRET_KEY = re.compile(
    r"(?:^|_)(?:token|secret|password|passwd|credentials?|apikey)$"
    r"|(?:api_key|access_key|secret_key|private_key|auth_token)$",
    re.IGNORECASE,
)
_SECRET_VALUES = {
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{16,}\b",
    "AWS access key": r"\bAKIA[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[opusr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})\b",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "password in a URL": r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"{}<>]+:[^\s/@'\"{}<>]+@",
}
_SECRET_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _SECRET_VALUES.items()}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing in a text that must not be published. Never holds the value itself."""

    line: int
    kind: str


def redact(node: Any, key: str = "") -> Any:
    """Return a copy of plain containers without the values that look like secrets.

    Example:
        >>> redact({"wandb_api_key": "k", "token_list": "tokens.txt"})
        {'wandb_api_key': '***', 'token_list': 'tokens.txt'}
    """
    if isinstance(node, Mapping):
        return {name: redact(child, str(name)) for name, child in node.items()}
    if isinstance(node, list | tuple):
        return [redact(child, key) for child in node]
    if node is None or isinstance(node, bool):
        return node
    if _SECRET_KEY.search(key) and not isinstance(node, int | float):
        return MASK if node else node
    return redact_text(node) if isinstance(node, str) else node


def redact_text(text: str) -> str:
    """Replace everything in a text that has the shape of a well-known secret."""
    for pattern in _SECRET_PATTERNS.values():
        text = pattern.sub(MASK, text)
    return text


def find_secret(text: str) -> str | None:
    """Return the kind of a well-known secret that a text holds, if it holds one."""
    return next((kind for kind, p in _SECRET_PATTERNS.items() if p.search(text)), None)


class HostPaths:
    """The folders of this machine whose names must not be published.

    Args:
        recipe_root: Recipe directory, if there is one.
        working_dir: Directory that packing runs in.
    """

    def __init__(self, recipe_root: Path | None, working_dir: Path | None = None) -> None:
        places = [(root, ".") for root in (recipe_root, working_dir) if root is not None]
        places.append((Path.home(), "~"))
        names: dict[str, str] = {}
        for place, short in places:
            for name in (os.path.abspath(place), os.path.realpath(place)):  # noqa: PTH100
                if name != os.sep:
                    names.setdefault(name, short)
        self._names = names
        longest_first = sorted(names, key=len, reverse=True)
        joined = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self._pattern = re.compile(rf"(?<![\w.~-])(?:{joined})(?![\w-]|\.\w)")

    def shorten(self, text: str) -> str:
        """Replace the recipe root and the working directory by ``.``, the home folder by ``~``."""
        return self._pattern.sub(lambda match: self._names[match.group()], text)

    def search(self, text: str) -> bool:
        """Tell whether a text names one of the folders."""
        return self._pattern.search(text) is not None


def scan_text(text: str, host_paths: HostPaths | None = None) -> Iterator[Finding]:
    """Find secrets, and paths of this machine, line by line."""
    for number, line in enumerate(text.splitlines(), start=1):
        for kind, pattern in _SECRET_PATTERNS.items():
            if pattern.search(line):
                yield Finding(line=number, kind=kind)
        if host_paths is not None and host_paths.search(line):
            yield Finding(line=number, kind=HOST_PATH)


def read_small_text(path: Path) -> str | None:
    """Return the text of a text file of moderate size, ``None`` for anything else."""
    if path.suffix.lower() not in TEXT_SUFFIXES or path.stat().st_size > MAX_TEXT_BYTES:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
