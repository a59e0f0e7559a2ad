"""Which files training leaves, and which files a configured model will read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet3.components.callbacks.settings import BestModelCriterion, read_criteria
from espnet3.errors import ConfigError
from espnet3.utils.config_merge import walk
from espnet3.utils.run_checks import RunRequest

_FILE_SUFFIXES = {".bin", ".ckpt", ".json", ".model", ".npy", ".npz", ".pt", ".pth", ".safetensors"}
_FILE_SUFFIXES |= {".tsv", ".txt", ".vocab", ".yaml", ".yml"}
_FILE_KEYS = ("_file", "_config", "_path")
"""How keys end whose text is a path even without a slash."""
_ALWAYS_WRITTEN = ("training.yaml", "last.ckpt", "metrics.jsonl")


def iter_model_files(model: Any) -> Iterator[tuple[str, str]]:
    """Yield dotted key and path of every value of a ``model`` section that names a file."""
    for key, text in walk(model, "model"):
        if not isinstance(text, str) or "\n" in text:
            continue
        if ("/" in text or key.endswith(_FILE_KEYS)) and Path(text).suffix in _FILE_SUFFIXES:
            yield key, text


def configured_criteria(run: RunRequest) -> tuple[BestModelCriterion, ...]:
    """Return what ``best_model_criterion`` says; nothing when it is malformed."""
    try:
        return read_criteria(run.get("training.best_model_criterion"))
    except ConfigError:
        return ()


def written_names(criteria: Sequence[BestModelCriterion]) -> list[str]:
    """Return the names of the files in ``exp_dir`` that training writes under a known name."""
    stems = [criterion.monitor.replace("/", ".") for criterion in criteria]
    return [*_ALWAYS_WRITTEN, *(f"{stem}.ave.pth" for stem in stems)]


def may_be_written(name: str, criteria: Sequence[BestModelCriterion]) -> bool:
    """Tell whether training may leave a file of this name in ``exp_dir``."""
    patterns = [re.escape(known) for known in (*written_names(criteria), "config.yaml")]
    patterns.append(r"step\d+\.ckpt")
    for criterion in criteria:
        stem = re.escape(criterion.monitor.replace("/", "."))
        patterns += [rf"{stem}\.ave_\d+best\.pth", rf"epoch\d+_step\d+_{stem}\.ckpt"]
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def absent_file(model: Any, recipe_dir: Any) -> tuple[str, str] | None:
    """Return the first file of a ``model`` section that does not exist, and its key."""
    roots = (Path(), Path(str(recipe_dir or ".")))
    for key, text in iter_model_files(model):
        if not any((root / text).exists() for root in roots):
            return key, text
    return None
