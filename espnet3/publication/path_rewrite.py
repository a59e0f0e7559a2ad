"""Make packed configurations relocatable: no path of this machine, ``${recipe_dir}`` instead."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from espnet3.publication.scrub import HostPaths
from espnet3.publication.yaml_links import iter_strings
from espnet3.utils.types import PathLike

BUNDLE_ROOT = "${recipe_dir}"
EXTERNAL = "external://"

_PATH_KEYS = frozenset(
    {
        "asr_train_config",
        "bpemodel",
        "data_dir",
        "exp_dir",
        "inference_dir",
        "lm_train_config",
        "manifest_path",
        "save_path",
        "token_list",
        "train_config",
        "word_lm_train_config",
    }
)
_PATH_ENDINGS = ("_dir", "_path", "_file")
_FILE_ARGUMENT = re.compile(r"(\$\{\s*(?:load_yaml|load_line)\s*:\s*['\"]?)(/[^,'\"${}]+)")


def is_path_key(key: str) -> bool:
    """Tell whether the value of a configuration key names a file or folder.

    Example:
        >>> is_path_key("model_file"), is_path_key("input_key")
        (True, False)
    """
    return key in _PATH_KEYS or key.endswith(_PATH_ENDINGS)


def absolute(path: PathLike, base: Path | None = None) -> Path:
    """Return an absolute, normalised path whose links keep their names."""
    joined = Path(base, path) if base is not None else Path(path)
    return Path(os.path.abspath(joined))  # noqa: PTH100 - Path.resolve would follow links


@dataclass(frozen=True, kw_only=True)
class Relocator:
    """Maps paths of this machine to places in the bundle.

    Args:
        recipe_root: Recipe directory; it becomes the bundle root.
        moved: Absolute path → bundle path of what is packed from elsewhere or under a new name.
    """

    recipe_root: Path | None = None
    moved: Mapping[Path, str] = field(default_factory=dict)

    def destination(self, path: Path) -> str | None:
        """Return the bundle path of an absolute path, ``None`` if it has no place there."""
        for candidate in (path, Path(os.path.realpath(path))):
            for parent in (candidate, *candidate.parents):
                if parent in self.moved:
                    return _join(self.moved[parent], candidate.relative_to(parent))
        for root in self._roots():
            if path.is_relative_to(root):
                return _join("", path.relative_to(root))
        return None

    def rewrite_config(self, node: Any, config_dir: str = "conf") -> Any:
        """Return a relocatable copy of a configuration.

        Args:
            node: Plain containers; interpolations in them stay as they are.
            config_dir: Bundle folder that the file will lie in.
        """
        copy = self._rewrite(node, "", config_dir)
        if not isinstance(copy, dict):
            return copy
        needs_root = any(BUNDLE_ROOT in text for _, text in iter_strings(copy))
        if "recipe_dir" in copy or needs_root:
            return {"recipe_dir": ".", **{k: v for k, v in copy.items() if k != "recipe_dir"}}
        return copy

    def _rewrite(self, node: Any, key: str, config_dir: str) -> Any:
        if isinstance(node, Mapping):
            return {name: self._rewrite(node[name], str(name), config_dir) for name in node}
        if isinstance(node, list | tuple):
            # The elements are symbols, and "/" or "a/b" may be one of them.
            if key == "token_list":
                return list(node)
            return [self._rewrite(child, key, config_dir) for child in node]
        if isinstance(node, Path):
            return self._rewrite_text(str(node), key, config_dir)
        return self._rewrite_text(node, key, config_dir) if isinstance(node, str) else node

    def _rewrite_text(self, text: str, key: str, config_dir: str) -> str:
        if "${" in text:
            return self._rewrite_interpolated(text, config_dir)
        if text.startswith("/"):
            return self._rewrite_absolute(text, key)
        if text and self._is_relative_path(text, key):
            path = absolute(text, self.recipe_root)
            destination = self.destination(path)
            if destination is not None:
                return _in_bundle(destination)
            if ".." in Path(text).parts:
                return f"{EXTERNAL}{path.name}"
        return self._without_roots(text)

    def _rewrite_absolute(self, text: str, key: str) -> str:
        path = absolute(text)
        destination = self.destination(path)
        if destination is not None:
            return _in_bundle(destination)
        is_word = path.parent == path.parent.parent and not is_path_key(key)
        if path.name == "" or (is_word and not path.exists()):
            return text
        return f"{EXTERNAL}{path.name}"

    def _is_relative_path(self, text: str, key: str) -> bool:
        if "://" in text or text.startswith("~"):
            return False
        # A bare word such as `auto` may be a setting, whatever the key is called.
        if is_path_key(key) and ("/" in text or "." in text):
            return True
        if "/" not in text and not is_path_key(key):
            return False
        try:
            return absolute(text, self.recipe_root).exists()
        except (OSError, ValueError):
            return False

    def _rewrite_interpolated(self, text: str, config_dir: str) -> str:
        def relative_argument(match: re.Match[str]) -> str:
            destination = self.destination(absolute(match.group(2).strip()))
            if destination is None:
                return match.group()
            relative = os.path.relpath(destination or ".", config_dir)
            return match.group(1) + Path(relative).as_posix()

        return self._without_roots(_FILE_ARGUMENT.sub(relative_argument, text))

    def _without_roots(self, text: str) -> str:
        for root in self._roots():
            pattern = rf"(?<![\w.~/-]){re.escape(str(root))}(?=/|[^\w.-]|$)"
            text = re.sub(pattern, lambda _: BUNDLE_ROOT, text)
        return text if "${" in text else HostPaths(self.recipe_root).shorten(text)

    def _roots(self) -> list[Path]:
        if self.recipe_root is None:
            return []
        lexical = absolute(self.recipe_root)
        return list(dict.fromkeys([lexical, Path(os.path.realpath(lexical))]))


def _in_bundle(destination: str) -> str:
    return f"{BUNDLE_ROOT}/{destination}" if destination else BUNDLE_ROOT


def _join(folder: str, relative: Path) -> str:
    joined = (PurePosixPath(folder) / relative.as_posix()).as_posix()
    return "" if joined == "." else joined
