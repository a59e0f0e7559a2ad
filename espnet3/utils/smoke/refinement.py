"""Read ``conf/smoke.yaml``: what a recipe adds to the general rules of smoke mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError
from espnet3.utils.overrides import Override, override_text
from espnet3.utils.yaml_source import YamlDocument, read_yaml


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """The content of the file."""

    overrides: tuple[Override, ...] = ()
    makes_data: bool = False
    """Whether it says how ``create_dataset`` makes little data."""


def read_refinement(recipe_dir: Path) -> Refinement:
    """Read the file of a recipe; without one there is nothing to refine.

    A slot (``training``) holds what its configuration would hold. Mappings are merged key by key,
    so an empty one changes nothing; anything else replaces. A ``create_dataset`` in any slot, even
    an empty one, means that the stage may run.

    Raises:
        ConfigError: If the file is malformed.
    """
    path = recipe_dir / "conf" / "smoke.yaml"
    if not path.is_file():
        return Refinement()
    document = read_yaml(path)
    content = {} if document.value is None else document.value
    if not isinstance(content, dict):
        raise ConfigError("the file must hold a mapping of slots", file=path)
    overrides = []
    for slot, section in content.items():
        if not isinstance(section, dict):
            place = document.positions.get(str(slot))
            line = None if place is None else place.line
            raise ConfigError("must be a mapping of keys", key=str(slot), file=path, line=line)
        overrides += list(_flatten(str(slot), section, "", document))
    makes_data = any("create_dataset" in section for section in content.values())
    return Refinement(overrides=tuple(overrides), makes_data=makes_data)


def _flatten(
    slot: str, section: Mapping[Any, Any], path: str, document: YamlDocument
) -> Iterator[Override]:
    for name, value in section.items():
        key = f"{path}.{name}" if path else str(name)
        if isinstance(value, dict):
            yield from _flatten(slot, value, key, document)
            continue
        place = document.positions.get(f"{slot}.{key}")
        yield Override(slot, key, value, override_text(slot, key, value), place)
