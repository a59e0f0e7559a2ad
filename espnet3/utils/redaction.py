"""Keep secrets out of logs, snapshots and reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

MASK = "***"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ALWAYS = {
    "secret", "secrets", "password", "passwords", "passwd", "jwt", "credential", "credentials",
}  # fmt: skip
_SOMETIMES = {"token", "key"}
_TAILS = {"id", "value", "string", "text"}
_ASSIGNMENT = re.compile(r"""\b(\w+)=("[^"]*"|'[^']*'|[^\s;]+)""")
_MENTION = re.compile(
    r"""\b(?P<name>\w*(?:secret|passw|token|key|jwt|credential)\w*)(?P<sign>["']?\s*[=:]\s*)"""
    r"""(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s"',;&)}\]]+)""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b((?:Bearer|Basic) +)[\w\-+/=.~]{8,}")
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


def redact_assignments(line: str) -> str:
    """Return a line of a shell script with the values of secret variables masked.

    Example:
        >>> redact_assignments("export HUB_TOKEN=abc; LANG=C python run.py")
        'export HUB_TOKEN=***; LANG=C python run.py'
    """
    return _ASSIGNMENT.sub(lambda m: f"{m[1]}={redact_environment(m[1], m[2])}", line)


def redact_message(text: str) -> str:
    """Return an error message or traceback with secret values and the users of URLs masked.

    Example:
        >>> redact_message("GET https://me:pw@example.org/?api_key=Abcdef0123456789: 403")
        'GET https://example.org/?api_key=***: 403'
        >>> redact_message("{'password': 'abc', 'input_key': 'speech'}")
        "{'password': ***, 'input_key': 'speech'}"
    """
    return _MENTION.sub(_mask_value, _BEARER.sub(rf"\1{MASK}", redact_text(text)))


def _mask_value(found: re.Match[str]) -> str:
    name, sign, value = found.group("name", "sign", "value")
    bare = value.rstrip(":")
    if not _is_secret(name, bare.strip("\"'")):
        return found[0]
    return f"{name}{sign}{MASK}{value[len(bare) :]}"


def redact_argument(argument: str) -> str:
    """Return one command-line word as it may be logged; ``slot.key=value`` is read as a setting."""
    key, sign, value = argument.partition("=")
    if not sign:
        return redact_text(argument)
    name = key.rpartition(".")[2]
    if value.lstrip()[:1] in ("{", "["):
        return f"{key}={_redact_flow(value, name)}"
    return f"{key}={redact_config(value, name)}"


def _redact_flow(text: str, name: str) -> str:
    """Redact a mapping or list that is written in one line of YAML."""
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError:  # not ours to complain about; but what it holds is unknown
        return MASK if any(word in _ALWAYS | _SOMETIMES for word in _words(text)) else text
    redacted = redact_config(plain, name)
    if redacted == plain:
        return text
    return yaml.safe_dump(redacted, default_flow_style=True, sort_keys=False, width=10**6).strip()


def redact_config(node: Any, name: str = "") -> Any:
    """Return a copy of plain containers with the values of secret keys masked.

    All that stands below a key such as ``credentials`` is secret. Values that YAML cannot hold
    become text.

    Args:
        node: Plain containers and scalars.
        name: Key under which ``node`` is found.
    """
    is_secret = bool(_ALWAYS.intersection(_words(name)))
    if isinstance(node, Mapping):
        # `_target_` and the like say what is built, also of credentials.
        names = {k: name if is_secret and not str(k).startswith("_") else str(k) for k in node}
        return {key: redact_config(value, names[key]) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [redact_config(item, name) for item in node]
    if node is None or isinstance(node, bool):
        return node
    if isinstance(node, int | float):
        return MASK if is_secret else node
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
