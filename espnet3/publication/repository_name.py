"""Names of repositories on the Hub: in the settings, and in the model card that goes there."""

from __future__ import annotations

import re

from espnet3.errors import ConfigError

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}")
_PLACEHOLDERS = frozenset({"your-name", "yourname", "your_name", "user", "user-or-org", "username"})
_MODEL_PLACEHOLDERS = frozenset({"your-model", "your-model-repo", "your_model"})
_LOADED = re.compile(r"""\.from_pretrained\(\s*(?:\w+\s*=\s*)?["']([^"']+)["']""")


def check_repository(name: str, key: str) -> None:
    """Raise unless a name is one of a repository.

    Raises:
        ConfigError: If it is a placeholder, or the Hub would refuse it.
    """
    owner, _, model = name.partition("/")
    if owner.lower() in _PLACEHOLDERS or model.lower() in _MODEL_PLACEHOLDERS or "<" in name:
        raise ConfigError(
            "is the placeholder of the template",
            key=key,
            value=name,
            hint="write your account, or an organisation of yours, and a name for the model",
        )
    if not model and _REPOSITORY.fullmatch(f"owner/{name}"):
        raise ConfigError(
            "lacks the owner",
            key=key,
            value=name,
            hint=f"write <user-or-organisation>/{name}",
        )
    has_bad_part = any(mark in name for mark in ("--", "..")) or name.endswith((".git", ".", "-"))
    if not _REPOSITORY.fullmatch(name) or has_bad_part:
        raise ConfigError(
            "is no name of a repository",
            key=key,
            value=name,
            hint="write <user-or-organisation>/<name>, of letters, digits, '-', '_' and '.'",
        )


def find_other_name(card: str, repository: str) -> str | None:
    """Return what the examples of a model card load, unless one of them loads this repository.

    Args:
        card: Text of the model card.
        repository: Where it goes.
    """
    names = [name.removeprefix("hf://").partition("@")[0] for name in _LOADED.findall(card)]
    return names[0] if names and repository not in names else None
