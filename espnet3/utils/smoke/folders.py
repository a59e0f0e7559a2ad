"""Where smoke mode writes: what would go to the experiment's folders goes to folders of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from espnet3.utils.config_merge import walk

PREFIX = "smoke_"


def known_values(config: DictConfig) -> dict[str, Any]:
    """Return ``dotted key → value`` of every node, resolved where that is possible by now."""
    raw = OmegaConf.to_container(config, resolve=False)
    return {key: _resolve(config, key, value) for key, value in walk(raw)}


def _resolve(config: DictConfig, key: str, value: Any) -> Any:
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        found = OmegaConf.select(config, key, throw_on_missing=True)
    except OmegaConfBaseException:
        return None
    return OmegaConf.to_container(found, resolve=False) if OmegaConf.is_config(found) else found


@dataclass(frozen=True)
class Moves:
    """Which folder takes the place of which; a folder may also stay where it is."""

    recipe_dir: Path
    table: dict[Path, str] = field(default_factory=dict)

    def add(self, old: Any, new: Any) -> None:
        """Add a folder, unless the whole recipe lies in it."""
        if not isinstance(old, str) or not old.strip():
            return
        path = _normal(old)
        if not _normal(self.recipe_dir).is_relative_to(path):
            self.table.setdefault(path, str(new))

    def target(self, text: Any) -> str | None:
        """Return where a path inside one of the folders is now; ``None`` for anything else."""
        if not isinstance(text, str) or not 0 < len(text) < 1024 or "\n" in text:
            return None
        path = _normal(text)
        inside = [old for old in self.table if path.is_relative_to(old)]
        if not inside:
            return None
        old = max(inside, key=lambda folder: len(folder.parts))
        new = PurePath(self.table[old])
        return str(new / path.relative_to(old))

    def changes(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Any]:
        """Yield ``(key, path)`` of the paths of a configuration that have to move.

        Args:
            before: Values before anything was changed.
            now: Values now; a path that already follows by interpolation is left alone.
        """
        for key, value in before.items():
            target = self.target(value)
            if target is None or self._is_input(key, value):
                continue
            if not isinstance(now.get(key), str) or _normal(now[key]) != _normal(target):
                yield key, target

    @staticmethod
    def _is_input(key: str, value: str) -> bool:
        """Tell whether a path names a file that a builder reads, for example an archive."""
        return key.startswith("create_dataset.") and Path(value).is_file()


def _normal(path: str | Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - links are not followed
