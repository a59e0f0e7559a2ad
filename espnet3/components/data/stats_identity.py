"""What the statistics of a split depend on, as digests, without building model or data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.utils.config_utils import to_plain
from espnet3.utils.fingerprint import fingerprint, fingerprint_file
from espnet3.utils.named_files import iter_files, iter_texts

META_NAME = "stats_meta.json"
CONTENT = "content of the data set"
"""Part that only the built data set can tell."""
_FEATURE_KEYS = ("frontend", "extract_feats", "feats_extract", "pitch_extract", "energy_extract")


def stats_config(
    model_config: Any,
    dataset_config: Any,
    dataloader_config: Any,
    mode: str,
    task: str | None = None,
    shard_idx: int | None = None,
) -> dict[str, Any]:
    """Return the plain values from which a split's statistics are computed."""
    return {
        "model_config": to_plain(model_config),
        "dataset_config": to_plain(dataset_config),
        "collate_fn": (to_plain(dataloader_config) or {}).get("collate_fn"),
        "mode": mode,
        "task": task,
        "shard_idx": shard_idx,
    }


def with_preprocessor_mode(dataset_config: Any, mode: str, augment: bool | None) -> Any:
    """Return a copy whose preprocessor, if it has a switch for training, is set for ``mode``."""
    preprocessor = dataset_config.get("preprocessor")
    if augment is None or not isinstance(preprocessor, Mapping) or "train" not in preprocessor:
        return dataset_config
    switched = {**preprocessor, "train": augment and mode == "train"}
    return {**dataset_config, "preprocessor": switched}


def identify(config: Mapping[str, Any], **options: Any) -> dict[str, str]:
    """Return a digest of each thing that the statistics of a split depend on.

    These are the settings, and the content of files that the data set's section names: beside
    those of the preprocessor, the manifest of the split.

    Args:
        config: What :func:`stats_config` returned.
        **options: Further settings that change the result.

    Raises:
        TypeError: If something is not plain, so that runs cannot be compared.
    """
    compared = {**config, "model_config": _feature_part(config["model_config"] or {})}
    if options.get("lengths_only"):
        compared["model_config"] = None
    parts = {f"settings.{name}": fingerprint(value) for name, value in compared.items()}
    parts["settings.options"] = fingerprint(options)
    parts |= {f"data.{path}": fingerprint_file(path) for path in data_files(config)}
    return dict(sorted(parts.items()))


def data_files(config: Mapping[str, Any]) -> list[Path]:
    """Return the files behind a split: named ones, and ``manifest/<mode>.tsv`` of named folders."""
    dataset = config["dataset_config"]
    if not isinstance(dataset, Mapping):
        return []
    recipe_dir = Path(str(dataset.get("recipe_dir") or "."))
    mode = config["mode"]
    named = {key: dataset.get(key) for key in (mode, "preprocessor")}
    return sorted({*iter_files(named, recipe_dir), *_manifests(dataset.get(mode), mode)})


def read_parts(folder: Path) -> dict[str, str]:
    """Return what :func:`identify` said when a folder was written; empty if nobody knows."""
    try:
        parts = json.loads((folder / META_NAME).read_text(encoding="utf-8"))["parts"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return parts if isinstance(parts, dict) else {}


def find_changes(earlier: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of parts that differ."""
    return sorted(name for name in {*earlier, *now} if earlier.get(name) != now.get(name))


def _feature_part(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what features depend on: of known models the front end, of others everything."""
    part = {k: v for k, v in model.items() if k.startswith(("_target_", *_FEATURE_KEYS))}
    return part if len(part) > 1 else model


def _manifests(entries: Any, mode: str) -> Iterator[Path]:
    for text in iter_texts(entries):
        path = Path(text, "manifest", f"{mode}.tsv")
        if len(text) < 1024 and path.is_file():
            yield path
