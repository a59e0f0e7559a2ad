"""The flat configuration that a training run of ESPnet2 leaves, or that we leave for its tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet3.utils.espnet2_table import RUN_OPTIONS
from espnet3.utils.slot_schema import SLOT_KEYS

FILE_OPTIONS = frozenset(
    {
        "bpemodel",
        "non_linguistic_symbols",
        "src_bpemodel",
        "src_token_list",
        "stats_file",
        "token_list",
    }
)
"""Options that name files which a model needs; lists of utterances are not among them."""

_SHARED = frozenset({"init", "model"})
"""Keys of training.yaml that are options of a task too."""


def is_run_config(section: Mapping[Any, Any]) -> bool:
    """Tell whether a mapping is the whole ``config.yaml`` of a run."""
    return section.keys() >= RUN_OPTIONS - {"config"}  # which ours lacks


def model_options(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration of a run for the section ``model``: without our sections in it.

    ``config.yaml`` of a training of ours holds its data, optimizer and trainer too. They belong to
    that training; any other mapping stays as it is.
    """
    dropped = SLOT_KEYS["training"].keys() - _SHARED if is_run_config(section) else ()
    return {name: value for name, value in section.items() if name not in dropped}


def locate_files(section: dict[Any, Any], file: Path) -> dict[Any, Any]:
    """Make relative paths in the configuration of a run absolute where its files are found.

    ESPnet2 writes them as seen from the folder that its command ran in, which is one of those
    above the configuration, as the root of a packed model is.

    Args:
        section: Content of the file; any but the configuration of a run stays as it is.
        file: Where it was read.
    """
    if not is_run_config(section):
        return section
    folders = file.absolute().parents

    def rewrite(value: Any, name: Any) -> Any:
        if isinstance(value, dict):
            return {key: rewrite(child, key) for key, child in value.items()}
        if name not in FILE_OPTIONS or not isinstance(value, str) or Path(value).is_absolute():
            return value
        found = (folder / value for folder in folders if (folder / value).is_file())
        return str(next(found, value))

    return {key: rewrite(child, key) for key, child in section.items()}
