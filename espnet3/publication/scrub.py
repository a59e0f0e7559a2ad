"""Secrets and paths of this machine: redact them in our own files, find them in copied ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.publication.text_files import iter_pieces
from espnet3.utils.redaction import MASK

DATA_SUFFIXES = frozenset(
    {
        ".cfg",
        ".csv",
        ".ini",
        ".json",
        ".jsonl",
        ".md",
        ".scp",
        ".toml",
        ".tsv",
        ".txt",
        ".yaml",
        ".yml",
    }
)
"""Text files in which paths of this machine are rewritten; others are only searched."""
HOST_PATH = "path of this machine"
"""Kind of a finding that is no secret."""
HOME_FOLDER = "somebody's home folder"
"""Kind of a finding that is no secret, either."""
MAX_DATA_BYTES = 256 * 2**20

_SECRET_KEY = re.compile(
    r"(?:^|_)(?:token|secret|password|passwd|credentials?|apikey)$"
    r"|(?:api_key|access_key|secret_key|private_key|auth_token)$",
    re.IGNORECASE,
)
_SECRET_VALUES = {
    "Hugging Face token": (("hf_",), r"\bhf_[A-Za-z0-9]{16,}\b"),
    "AWS access key": (("AKIA",), r"\bAKIA[0-9A-Z]{16}\b"),
    "GitHub token": (
        ("gho_", "ghp_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\b(?:gh[opusr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})\b",
    ),
    "GitLab token": (("glpat-",), r"\bglpat-[A-Za-z0-9_-]{16,}"),
    "Slack token": (("xox",), r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "JSON web token": (
        ("eyJ",),
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    ),
    "private key": (("PRIVATE KEY",), r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "password in a URL": (
        ("://",),
        r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@'\"{}<>]+:[^\s/@'\"{}<>]+@",
    ),
}
_SECRET_PATTERNS = {kind: re.compile(pattern) for kind, (_, pattern) in _SECRET_VALUES.items()}
_HOME = re.compile(r"(?<![\w./-])(?:/home/|/Users/|[A-Za-z]:\\+Users\\+)[\w.-]+")


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
        if not self.search(text):
            return text
        return self._pattern.sub(lambda match: self._names[match.group()], text)

    def search(self, text: str) -> bool:
        """Tell whether a text names one of the folders."""
        is_near = any(name in text for name in self._names)
        return is_near and self._pattern.search(text) is not None


def scan_text(
    text: str, host_paths: HostPaths | None = None, *, first_line: int = 1, homes: bool = False
) -> Iterator[Finding]:
    """Find secrets, and paths of this machine, line by line.

    Args:
        text: Whole lines.
        host_paths: Folders that must not be named.
        first_line: Number of the first line.
        homes: Also find the home folders of other people.
    """
    # Looking for a literal is a hundred times faster than looking for a pattern.
    patterns = {
        kind: _SECRET_PATTERNS[kind]
        for kind, (marks, _) in _SECRET_VALUES.items()
        if any(mark in text for mark in marks)
    }
    has_place = host_paths is not None and host_paths.search(text)
    homes = homes and _HOME.search(text) is not None
    if not (patterns or has_place or homes):
        return
    for number, line in enumerate(text.split("\n"), start=first_line):
        for kind, pattern in patterns.items():
            if pattern.search(line):
                yield Finding(line=number, kind=kind)
        if has_place and host_paths is not None and host_paths.search(line):
            yield Finding(line=number, kind=HOST_PATH)
        elif homes and _HOME.search(line):
            yield Finding(line=number, kind=HOME_FOLDER)


def scan_file(
    path: Path, host_paths: HostPaths | None = None, *, homes: bool = False
) -> Iterator[Finding]:
    """Find in a file of any name and size what :func:`scan_text` finds, if it holds text."""
    seen: set[Finding] = set()
    for first_line, text in iter_pieces(path):
        for finding in scan_text(text, host_paths, first_line=first_line, homes=homes):
            if finding not in seen:
                seen.add(finding)
                yield finding


def read_data_text(path: Path) -> str | None:
    """Return the text of a data file that is not huge, ``None`` for anything else."""
    if path.suffix.lower() not in DATA_SUFFIXES or path.stat().st_size > MAX_DATA_BYTES:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
