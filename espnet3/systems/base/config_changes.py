"""What a configuration changes against the one that an experiment was trained with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from espnet3.errors import ConfigError
from espnet3.utils.config_merge import walk
from espnet3.utils.config_utils import to_plain
from espnet3.utils.yaml_source import read_yaml

_MAX_CHANGES = 8
_INITIAL = ("init", "init_from", "trainer.init")


def describe_changes(config: Any, path: Path) -> Iterator[str]:
    """Yield one line per key that differs from the configuration of the last run.

    Args:
        config: Training configuration of now.
        path: ``training.yaml`` of the run before; without it there are no changes.
    """
    try:
        changes = find_changes(config, path)
    except (OmegaConfBaseException, ConfigError) as error:
        yield f"cannot be compared with {path} yet: {str(error).splitlines()[0]}"
        return
    for line in list(changes.values())[:_MAX_CHANGES]:
        yield f"{line} (since {path})"
    if len(changes) > _MAX_CHANGES:
        yield f"and {len(changes) - _MAX_CHANGES} more keys (since {path})"


def find_changes(config: Any, path: Path) -> Mapping[str, str]:
    """Return ``key: old -> new`` for each changed key, by key; nothing if ``path`` is absent.

    Raises:
        OmegaConfBaseException: If the configuration has values that do not resolve yet.
        ConfigError: If the file is not YAML.
    """
    if not path.is_file():
        return {}
    new = _leaves(to_plain(config))
    old = _leaves(read_yaml(path).value)
    return {
        key: f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    }


def describe_restored(config: Any, path: Path) -> list[str]:
    """Return a line for each changed key whose old value a resumed run keeps."""
    try:
        changes = find_changes(config, path)
    except (OmegaConfBaseException, ConfigError):
        return []
    # The state of an optimizer has its options too. Our schedules take theirs from the
    # configuration, those of torch restore all that they have.
    target = str((config.get("scheduler") or {}).get("_target_"))
    sections = [
        "optimizer.",
        "init_from.",
        *(["scheduler."] if target.startswith("torch.") else []),
    ]
    return [
        line
        for key, line in changes.items()
        if key in _INITIAL or (key.startswith(tuple(sections)) and not key.endswith("._target_"))
    ]


def _leaves(content: Any) -> dict[str, Any]:
    return {key: value for key, value in walk(content) if not value or _is_leaf(value)}


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, dict | list)
