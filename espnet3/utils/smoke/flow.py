"""What ``run.py --smoke`` does differently: which files, which stages, on which device."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet3.errors import StageError
from espnet3.utils.smoke.folders import PREFIX
from espnet3.utils.smoke.refinement import Refinement
from espnet3.utils.stage_table import UPLOAD_STAGES

logger = logging.getLogger(__name__)

_HIDDEN_DEVICES = "CUDA_VISIBLE_DEVICES"


def default_paths(
    paths: Mapping[str, Any], recipe_dir: Path, is_taken: Callable[[str], bool]
) -> dict[str, Any]:
    """Fill slots without a file by ``conf/<slot>.yaml`` of the recipe, where it exists.

    Args:
        paths: Slot → given file or ``None``.
        recipe_dir: Folder of the recipe.
        is_taken: Tells whether the system has a slot.
    """
    filled = dict(paths)
    for slot, path in paths.items():
        default = Path("conf", f"{slot.removesuffix('_config')}.yaml")
        if path is None and (recipe_dir / default).is_file() and is_taken(slot):
            filled[slot] = default if recipe_dir == Path.cwd() else recipe_dir / default
    return filled


def select_stages(
    stages: Sequence[str],
    requested: Sequence[str],
    refinement: Refinement,
    lacks_config: Callable[[str], Any],
) -> list[str]:
    """Return the stages that run.

    Args:
        stages: What was resolved from the request.
        requested: The request itself.
        refinement: The recipe's own rules.
        lacks_config: Tells whether (or which) configurations that a stage needs are absent.

    Raises:
        StageError: If a stage would publish.
    """
    uploads = [stage for stage in stages if stage in UPLOAD_STAGES]
    if uploads:
        raise StageError(f"--smoke never publishes: leave out {', '.join(uploads)}")
    selected = list(stages)
    if "all" in requested:
        selected = [stage for stage in stages if not lacks_config(stage)]
        left_out = [stage for stage in stages if stage not in selected]
        if left_out:
            logger.info("not run, without a configuration: %s", ", ".join(left_out))
    if "create_dataset" in selected and not refinement.makes_data:
        selected.remove("create_dataset")
        logger.warning(
            "create_dataset is not run, and the data are read where they are: conf/smoke.yaml does "
            "not say how to make little data (training: {create_dataset: {…}})"
        )
    return selected


@contextlib.contextmanager
def smoke_scope(active: bool) -> Iterator[None]:
    """Hide all GPUs from the stages that run inside the block."""
    if not active:
        yield
        return
    before = os.environ.get(_HIDDEN_DEVICES)
    os.environ[_HIDDEN_DEVICES] = ""
    try:
        yield
    finally:
        os.environ.pop(_HIDDEN_DEVICES)
        if before is not None:
            os.environ[_HIDDEN_DEVICES] = before


def log_end(config: Any, stages: Sequence[str]) -> None:
    """Say what the results are worth.

    Args:
        config: Configuration that names the experiment.
        stages: Stages that ran.
    """
    logger.info(
        "smoke: %d stages ran at toy size on a CPU, and their numbers mean nothing; all of it "
        "is in %s, which may be deleted",
        len(stages),
        Path(config.exp_dir).with_name(f"{PREFIX}*"),
    )
