"""Keep secrets out of logs, snapshots and reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ALWAYS = {"secret", "secrets", "password", "passwd", "jwt", "credential", "credentials"}
_SOMETIMES = {"token", "key"}
_TAILS = {"id", "value", "string", "text"}
_URL_USER = re.compile(r"(?<=://)[^/\s@]+@")
# `hyp_key: hyp`, `ref_key: reference_text` and `unk_token: <unk>` are settings; access tokens are
# long, without blanks, and not all lower-case letters.
_LOOKS_SECRET = re.compile(r"(?=.*[\dA-Z])[\w\-+/=.:~]{16,}")


def redact_environment(name: str, value: str) -> str:
    """Return the value of an environment variable as it may be logged.

    Example:
        >>> redact_environment("SLURM_JWT", "abc"), redact_environment("NCCL_DEBUG", "INFO")
        ('***', 'INFO')
    """
    if (_ALWAYS | _SOMETIMES).intersection(_words(name)):
        return MASK
    return redact_text(value)


def redact_text(text: str) -> str:
    """Drop user and password from the URLs in a text.

    Example:
        >>> redact_text("clone https://me:pw@example.org/repo")
        'clone https://example.org/repo'
    """
    return _URL_USER.sub("", text)


def redact_argument(argument: str) -> str:
    """Return one command-line word as it may be logged; ``slot.key=value`` is read as a setting."""
    key, sign, value = argument.partition("=")
    if sign:
        return f"{key}={redact_config(value, key.rpartition('.')[2])}"
    return redact_text(argument)


def redact_config(node: Any, name: str = "") -> Any:
    """Return a copy of plain containers with the values of secret keys masked.

    Values that YAML cannot hold become text.

    Args:
        node: Plain containers and scalars.
        name: Key under which ``node`` is found.
    """
    if isinstance(node, Mapping):
        return {key: redact_config(value, str(key)) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [redact_config(item, name) for item in node]
    if node is None or isinstance(node, bool | int | float):
        return node
    if not isinstance(node, str):
        return str(node)
    return MASK if _is_secret(name, node) else redact_text(node)


def _is_secret(name: str, value: str) -> bool:
    if not value or "${" in value:
        return False
    words = _words(name)
    if _ALWAYS.intersection(words):
        return True
    # `token_list` and `key_file` say where something is; `api_token` and `key_id` are it.
    while words and words[-1] in _TAILS:
        words.pop()
    return bool(words) and words[-1] in _SOMETIMES and _LOOKS_SECRET.fullmatch(value) is not None


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
