"""Find a configuration file that was given to the flag of another slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from omegaconf import DictConfig

from espnet3.errors import ConfigError
from espnet3.utils.config_sources import get_sources
from espnet3.utils.slot_schema import SLOT_KEYS
from espnet3.utils.stage_table import SLOT_FILES, flag_of


def find_swapped(
    configs: Mapping[str, DictConfig | None], files: Mapping[str, str | None]
) -> Iterator[ConfigError]:
    """Yield an error for each file that fits another slot than its own.

    Args:
        configs: Slot → loaded configuration.
        files: Slot → template file, which says what kind of configuration belongs there.
    """
    for slot, config in configs.items():
        kind = Path(files.get(slot) or slot).stem
        if config is None or kind not in SLOT_KEYS:
            continue
        file, keys = _own_keys(config)
        foreign = [key for key in keys if key not in SLOT_KEYS[kind]]
        other = _find_slot(file, keys, foreign)
        if other is not None:
            yield ConfigError(
                f"looks like a file for {flag_of(other)}, not for {flag_of(slot)}: it has"
                f" {', '.join(foreign)}",
                file=file,
            )


def _own_keys(config: DictConfig) -> tuple[str, list[str]]:
    """Return the main file of a configuration and the top-level keys that stand in it."""
    sources = get_sources(config)
    places = sources.positions.items()
    return sources.file or "", [k for k, p in places if p.file == sources.file and "." not in k]


def _find_slot(file: str, keys: list[str], foreign: list[str]) -> str | None:
    """Return the slot that knows all keys; one unknown key alone may also be a mistake in it."""
    for slot in SLOT_FILES if foreign else ():
        kind = slot.removesuffix("_config")
        is_clear = len(foreign) > 1 or kind in Path(file).stem
        if is_clear and all(key in SLOT_KEYS[kind] for key in keys):
            return slot
    return None
