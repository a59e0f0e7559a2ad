"""Which extras of espnet3 the model of a bundle needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet3.publication.bundle import INFERENCE_CONFIG
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.yaml_links import iter_strings, linked_files
from espnet3.utils.espnet2_needs import needs_espnet2


def extras_of_bundle(root: Path) -> tuple[str, ...]:
    """Return the extras without which the model of a bundle cannot be built."""
    model = (read_mapping(root / INFERENCE_CONFIG) or {}).get("model")
    return extras_of_model(model, linked_files({"model": model}, root, root))


def extras_of_model(model: Any, files: Iterable[Path]) -> tuple[str, ...]:
    """Return the extras without which a model cannot be built.

    Args:
        model: The section of that name of an inference config.
        files: What it names; of training configs, ``model`` and ``task`` count.
    """
    described: list[dict[str, Any]] = [{"model": model}]
    for file in files:
        content = (read_mapping(file) if file.suffix in (".yaml", ".yml") else None) or {}
        described.append({key: content.get(key) for key in ("model", "task")})
    named = (text for part in described for key, text in iter_strings(part) if _is_built(key))
    return ("espnet2",) if any(map(needs_espnet2, named)) else ()


def _is_built(key: str) -> bool:
    return key == "task" or key.rpartition(".")[2] == "_target_"
