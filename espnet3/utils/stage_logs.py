"""Where each stage logs: folders and file names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet3.errors import StageError
from espnet3.utils.device_utils import process_rank
from espnet3.utils.log_reference import lookup
from espnet3.utils.logging_utils import set_stage_log_handler

LOG_MODES = ("rank0", "per_rank")
"""Values of ``stage_log_mode``; the first is the default."""


def distributed_stages(system: Any) -> Sequence[str]:
    """Return the stages that all ranks execute."""
    stages: Sequence[str] = getattr(system, "DISTRIBUTED_STAGES", ("train",))
    return stages


def log_dir_of(system: Any, stage: str) -> Path | None:
    """Return the log folder of a stage, ``None`` for a system that wants no log files."""
    folders: Mapping[str, Path | None] = getattr(system, "stage_log_dirs", None) or {}
    return folders.get(stage) or folders.get("default")


def open_stage_log(system: Any, stage: str, log: logging.Logger) -> Path | None:
    """Open the log file of a stage, where this rank has one, and close the one before.

    ``training_config.stage_log_mode`` decides for distributed stages: with ``rank0`` only rank 0
    has a file, ``<stage>.log``; with ``per_rank`` each rank has ``<stage>_rank<r>.log``.

    Raises:
        StageError: If the folder or the file cannot be made.
    """
    rank = process_rank()
    configured = lookup(system, "training_config.stage_log_mode")
    mode = LOG_MODES[0] if configured is None else str(configured).lower()
    filename: str | None = f"{stage}.log" if rank == 0 else None
    if mode == "per_rank" and (rank > 0 or stage in distributed_stages(system)):
        filename = f"{stage}_rank{rank}.log"
    folder = log_dir_of(system, stage) if filename else None
    try:
        path = set_stage_log_handler(folder, filename or "")
    except OSError as error:
        reference = getattr(system, "stage_log_mapping", {}).get(stage)
        raise StageError(
            f"stage {stage} cannot open its log in {folder} ({reference or 'default'}): {error}"
        ) from error
    if mode not in LOG_MODES:
        log.error("Unknown stage_log_mode=%r; rank0 is used", configured)
    return path
