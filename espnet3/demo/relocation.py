"""An inference configuration that works wherever the demo is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from espnet3.publication.pack_inputs import read_value
from espnet3.utils.config_utils import to_plain
from espnet3.utils.path_utils import is_file

logger = logging.getLogger(__name__)

_LEFT_OUT = (
    "batch_size", "data_dir", "dataset", "defaults", "execution", "inference_dir",
    "output_artifacts", "parallel", "strict", "test_set",
)  # fmt: skip
"""What says how test sets are decoded, not what the model is."""
_READ_FILES = ("model", "provider", "runner")


class InferConfigRelocator:
    """Makes the paths of an inference configuration start at the demo folder.

    Args:
        root: Recipe directory.
        add_file: Takes a file that the model reads into the demo and returns where it goes.
        destination: Returns where a path goes that is not taken along.
    """

    def __init__(
        self, root: Path, add_file: Callable[[Path], str], destination: Callable[[Path], Path]
    ) -> None:
        self._root = root
        self._add_file = add_file
        self._destination = destination

    def rewrite(self, config: DictConfig) -> dict[str, Any]:
        """Return what the demo needs of a configuration, as plain values."""
        rewritten: dict[str, Any] = {"recipe_dir": "."}
        for key in map(str, config):
            if key in _LEFT_OUT or key == "recipe_dir":
                continue
            value = self._read(config, key)
            if value is not None:
                rewritten[key] = self._rewrite(value, is_read=key in _READ_FILES)
        return rewritten

    def _read(self, config: DictConfig, key: str) -> Any:
        if key in _READ_FILES:
            return to_plain(config.get(key))
        try:
            return read_value(config, key)
        except OmegaConfBaseException:
            return None

    def _rewrite(self, node: Any, *, is_read: bool) -> Any:
        if isinstance(node, dict):
            return {key: self._rewrite(value, is_read=is_read) for key, value in node.items()}
        if isinstance(node, list):
            return [self._rewrite(value, is_read=is_read) for value in node]
        return self._rewrite_text(node, is_read=is_read) if isinstance(node, str) else node

    def _rewrite_text(self, text: str, *, is_read: bool) -> str:
        path = Path(text)
        places = [path] if path.is_absolute() else [self._root / path, Path.cwd() / path]
        found = next((place for place in places if is_file(place)), None)
        if found is not None and is_read:
            return self._add_file(found.absolute())
        if not path.is_absolute():
            return text
        moved = self._destination(path).as_posix()
        if is_read:
            logger.warning("%s is not in the demo: list it in pack.files", text)
        return moved
