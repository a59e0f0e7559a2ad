"""The training configuration that a trained model is built from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from espnet3.errors import ConfigError, MissingConfigError
from espnet3.utils.import_utils import active_target_policy
from espnet3.utils.instantiate import to_plain
from espnet3.utils.path_utils import is_file
from espnet3.utils.printable import printable
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)

_ROOT_REFERENCE = "${recipe_dir}"
_BUNDLE_MARKER = "meta.yaml"


def load_train_config(
    source: PathLike | Mapping[str, Any],
    recipe_dir: PathLike | None = None,
    *,
    sections: Sequence[str] = (),
) -> dict[str, Any]:
    """Read the section ``model``, and others, with paths that exist from here.

    Relative paths, and paths that begin with ``${recipe_dir}``, start at the recipe folder. That
    is, in this order: the argument; an absolute ``recipe_dir`` of the configuration; the packed
    bundle that holds the file; the folder in which the file's own ``exp_dir`` leads to it; the
    working directory. A ``stats_file`` that is gone becomes ``None``, because the weights hold its
    contents.

    Args:
        source: ``<exp_dir>/training.yaml`` as the train stage wrote it, its packed copy, or its
            contents.
        recipe_dir: Folder of the recipe or bundle.
        sections: Further sections to read.

    Returns:
        Plain containers: ``model`` and those of ``sections`` that are configured.

    Raises:
        MissingConfigError: If the file or its ``model`` section does not exist, or the latter names
            no model.
        ConfigError: If a needed value is an interpolation other than ``${recipe_dir}``.
    """
    file = None if isinstance(source, Mapping) else Path(source)
    if file is not None and not file.is_file():
        raise MissingConfigError(
            "no such file", key="train_config", value=str(file), hint="run the train stage first"
        )
    # Bundles are inspected before they are loaded, and there the suffix tells what is YAML.
    if file is not None and file.suffix not in (".yaml", ".yml"):
        raise ConfigError("must be a .yaml file", key="train_config", value=str(file))
    content = to_plain(source) if file is None else _read_yaml(file)
    model = content.get("model")
    if not isinstance(model, Mapping):
        raise MissingConfigError("has no section `model`", key="train_config", file=file)
    if not model and not content.get("task"):
        raise MissingConfigError(
            "names no model: its section `model` is empty", key="train_config", file=file
        )
    root = _find_root(content, file, recipe_dir)
    logger.debug("Paths of %s start at %s", printable(file or "train_config"), printable(root))
    return {
        name: _anchor(content[name], root, name, file)
        for name in ("model", *sections)
        if content.get(name) is not None
    }


def _read_yaml(file: Path) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    if not isinstance(content, dict):
        raise ConfigError("must hold a mapping", file=file)
    return {str(name): value for name, value in content.items()}


def _find_root(content: Mapping[str, Any], file: Path | None, recipe_dir: PathLike | None) -> Path:
    if recipe_dir is not None:
        return Path(recipe_dir).absolute()
    own = content.get("recipe_dir")
    if isinstance(own, str) and Path(own).is_absolute():
        return Path(own)
    folder = file.absolute().parent if file is not None else Path.cwd()
    if file is not None:
        for parent in (folder, *folder.parents):
            if (parent / _BUNDLE_MARKER).is_file():
                return parent
        exp_dir = content.get("exp_dir")
        tail = Path(exp_dir).parts if isinstance(exp_dir, str) else ()
        # A bundle that nobody vouches for must not choose a folder above itself.
        if active_target_policy() is None and tail and folder.parts[-len(tail) :] == tail:
            return Path(*folder.parts[: -len(tail)])
    return Path.cwd()


def _anchor(node: Any, root: Path, key: str, file: Path | None) -> Any:
    """Make the paths in a section absolute."""
    if isinstance(node, Mapping):
        return {
            name: child if name == "_target_" else _anchor(child, root, f"{key}.{name}", file)
            for name, child in node.items()
        }
    if isinstance(node, list):
        return [_anchor(child, root, f"{key}[{i}]", file) for i, child in enumerate(node)]
    if not isinstance(node, str):
        return node
    value = node.replace(_ROOT_REFERENCE, str(root))
    if "${" in value:
        raise ConfigError(
            "is not resolved",
            key=key,
            file=file,
            value=node,
            hint="give the training.yaml that the train stage wrote into exp_dir",
        )
    if not Path(value).is_absolute() and is_file(root / value):
        value = str(root / value)
    if key == "tokenizer.save_path":
        value = str(root / value)
    if key.endswith(".stats_file") and not is_file(Path(value)):
        logger.info(
            "%s: %s does not exist; the weights hold the statistics",
            printable(key),
            printable(value),
        )
        return None
    return value
