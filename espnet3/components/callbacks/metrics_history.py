"""The history of a run as JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from espnet3.utils.path_utils import write_text
from espnet3.utils.types import PathLike


class MetricsHistory:
    """Append one JSON object per line: ``epoch``, ``step``, ``split`` and ``values``.

    Args:
        path: File to append to, usually ``<exp_dir>/metrics.jsonl``.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)

    def rewind(self, step: int) -> None:
        """Drop what was written after an optimizer step, because training goes on from there."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # A line cut off when the run was killed.
            if entry.get("step", 0) <= step and step > 0:
                kept.append(line)
        write_text(self.path, "".join(f"{line}\n" for line in kept))

    def append(self, *, epoch: int, step: int, split: str, values: Mapping[str, float]) -> None:
        """Add a line; values that are not finite become ``null``."""
        finite = {k: (v if math.isfinite(v) else None) for k, v in values.items()}
        entry = {"epoch": epoch, "step": step, "split": split, "values": finite}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
