"""Inputs that the page offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from espnet3.demo.settings import PLAIN_KINDS, UiSettings
from espnet3.demo.ui import UiSpec
from espnet3.errors import ConfigError
from espnet3.utils.path_utils import is_inside


def read_examples(settings: UiSettings, spec: UiSpec, folder: Path) -> list[list[Any]]:
    """Return ``ui.examples`` with the places of its files.

    Args:
        settings: Settings of the page.
        spec: Its components.
        folder: Folder of the demo.

    Raises:
        ConfigError: If an example does not fit the inputs, or a file is not in the demo.
    """
    examples: list[list[Any]] = []
    for index, row in enumerate(settings.examples or ()):
        key = f"ui.examples[{index}]"
        if len(row) != len(spec.inputs):
            raise ConfigError(f"must have {len(spec.inputs)} values, one for each input",
                              key=key, value=list(row))  # fmt: skip
        examples.append(
            [
                _locate(value, component, folder, key)
                for value, component in zip(row, spec.inputs, strict=True)
            ]
        )
    return examples


def _locate(value: Any, component: Any, folder: Path, key: str) -> Any:
    if type(component).__name__.lower() in PLAIN_KINDS:
        return value
    path = folder / str(value)
    if not is_inside(path, folder) or not path.is_file():
        raise ConfigError("is no file of the demo", key=key, value=value)
    return path
