"""What the model card says of the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def summary_section(model_class: str, root: Path, meta: Mapping[str, Any]) -> str:
    """Return class, parameters, size and types of the packed weights as a Markdown section.

    Args:
        model_class: Dotted path of the model.
        root: Folder of the bundle.
        meta: ``files`` and ``weights`` of its ``meta.yaml``.

    Returns:
        The section; empty when nothing is known.
    """
    rows = [
        (f"`{model_class}`", f"{facts['params']:,}", size, ", ".join(facts["dtypes"]))
        for name, facts in sorted(meta["weights"].items())
        if "params" in facts
        for size in [f"{(root / meta['files'][name]).stat().st_size / 2**20:.1f} MiB"]
    ]
    if not rows or not model_class:
        return ""
    lines = [("Class", "Parameters", "Size", "Types"), ("---",) * 4, *rows]
    return "## Model\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
