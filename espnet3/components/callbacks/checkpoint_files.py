"""Names of the checkpoints in an experiment folder; torch is not needed to find them."""

from __future__ import annotations

import re
from pathlib import Path


def full_checkpoints(folder: Path) -> list[Path]:
    """Return the resumable checkpoints of a folder, newest first."""
    found = [p for p in folder.glob("step*.ckpt") if re.fullmatch(r"step\d+\.ckpt", p.name)]
    return sorted(found, key=lambda p: (p.stat().st_mtime_ns, int(p.stem[4:])), reverse=True)


def metric_stem(metric: str) -> str:
    """Return a metric's name as part of a file name.

    Example:
        >>> metric_stem("valid/loss")
        'valid.loss'
    """
    return metric.replace("/", ".")
