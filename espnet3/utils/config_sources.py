"""Where the keys of a loaded configuration come from.

The table travels in the metadata of the configuration's root, so it survives copies, merges and
pickling. Configurations that were built in memory have none.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from omegaconf import DictConfig, ListConfig
from omegaconf.basecontainer import BaseContainer

from espnet3.utils.config_merge import walk
from espnet3.utils.redaction import redact_argument
from espnet3.utils.yaml_source import SourcePosition

_ATTRIBUTE = "espnet3_sources"
_REFERENCE = re.compile(
    r"""\$\{\s*(?:oc\.(?:select|dict\.keys|dict\.values)\s*:\s*|load_yaml\s*:[^,{}]*,\s*|\.*)
    ([^\s.,:\[\]{}$'"]+)\s*[.,\[}]""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class SourceTable:
    """What is known about the origin of a configuration; never changed in place."""

    file: str | None = None
    """The main file."""
    positions: Mapping[str, SourcePosition] = field(default_factory=dict)
    """Position of each key, by dotted path (``a.0.b``)."""
    references: frozenset[str] = frozenset()
    """Top-level keys that interpolations use, here or in a file that is read by one."""
    borrowed: frozenset[str] = frozenset()
    """Keys whose value stands elsewhere: an interpolation or another configuration gave it."""
    overrides: tuple[str, ...] = ()
    """``slot.key=value`` of every ``--set`` that was applied."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SourceTable:
        return self


def attach_sources(config: DictConfig, **changes: Any) -> None:
    """Set fields of the configuration's :class:`SourceTable`, which is made when absent."""
    table = dataclasses.replace(get_sources(config), **changes)
    setattr(config._get_root()._metadata, _ATTRIBUTE, table)


def get_sources(config: BaseContainer) -> SourceTable:
    """Return the table of the whole configuration that ``config`` is part of."""
    table = vars(config._get_root()._metadata).get(_ATTRIBUTE)
    return cast(SourceTable, table) if table is not None else SourceTable()


def locate(config: Any, key: str = "") -> SourcePosition | None:
    """Return where a key was written.

    Args:
        config: A loaded configuration or a part of it.
        key: Dotted key below ``config``, for example ``dataset.train[0].name``; ``""`` is the part
            itself.

    Returns:
        Position of the key; of the closest section around it when the key is not in any file; the
        main file alone when that is unknown too; ``None`` for a configuration without a file.
    """
    if not isinstance(config, BaseContainer):
        return None
    table = get_sources(config)
    path = flat_key(".".join(part for part in (_own_key(config), key) if part))
    while path:
        if path in table.positions:
            return table.positions[path]
        path = path.rpartition(".")[0]
    return SourcePosition(table.file) if table.file else None


def is_borrowed(config: DictConfig, key: str) -> bool:
    """Tell whether the value of a key, or of a section around it, stands elsewhere."""
    path, borrowed = flat_key(key), get_sources(config).borrowed
    while path and path not in borrowed:
        path = path.rpartition(".")[0]
    return bool(path)


def override_comments(config: Any) -> str:
    """Return one YAML comment line for each ``--set`` behind a configuration, without secrets."""
    if not isinstance(config, BaseContainer):
        return ""
    texts = (redact_argument(text) for text in get_sources(config).overrides)
    return "".join("# --set " + text.replace("\n", "\\n") + "\n" for text in texts)


def _own_key(config: BaseContainer) -> str:
    """Return the dotted key of a part of a configuration, ``""`` for the root."""
    if config._get_parent() is None:
        return ""
    # Asked for the key of a container itself, OmegaConf leaves out the dot before a list index.
    child = 0 if isinstance(config, ListConfig) else "x"
    return flat_key(config._get_full_key(child)).removesuffix(f".{child}")


def flat_key(key: str) -> str:
    """Return ``a[0].b`` as ``a.0.b``."""
    return key.replace("][", ".").replace("[", ".").replace("]", "").strip(".")


def indexed_key(path: str) -> str:
    """Return ``a.0.b`` as ``a[0].b``, which is how messages write it."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path)


def find_references(value: Any) -> frozenset[str]:
    """Return the top-level keys that interpolations in raw containers or a string name."""
    texts = [value] if isinstance(value, str) else [node for _, node in walk(value)]
    found = (_REFERENCE.findall(text) for text in texts if isinstance(text, str) and "${" in text)
    return frozenset(name for names in found for name in names)
