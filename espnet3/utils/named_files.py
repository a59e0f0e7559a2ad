"""Find the files that the texts of a configuration name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.utils.path_utils import is_file


def iter_files(node: Any, recipe_dir: Path) -> Iterator[Path]:
    """Yield the existing files that texts in plain containers name, from here or the recipe."""
    for text in iter_texts(node):
        for path in (Path(text), recipe_dir / text):
            if is_file(path):
                yield path
                break


def iter_texts(node: Any) -> Iterator[str]:
    """Yield all texts in plain containers that are not empty."""
    if isinstance(node, Mapping):
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            yield from iter_texts(child)
    elif isinstance(node, str) and node:
        yield node
