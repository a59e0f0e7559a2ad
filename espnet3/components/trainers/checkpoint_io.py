"""Write checkpoints so that a killed run leaves the old file or the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write beside the target, then rename.

    Lightning's own class first writes into the folder for temporary files, which is often another,
    smaller disk; from there the file is copied, and a kill in that time leaves half of it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Save a checkpoint; the name of the unfinished file is always the same."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")
        try:
            torch.save(checkpoint, unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
