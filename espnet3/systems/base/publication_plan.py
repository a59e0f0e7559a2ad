"""What ``pack_model`` and ``upload_model`` would do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError
from espnet3.publication.pack_inputs import read_inputs
from espnet3.publication.pack_plan import PackPlan, plan_pack
from espnet3.publication.plan_draft import suggest_neighbour
from espnet3.publication.upload_plan import UploadPlan, plan_upload
from espnet3.utils.run_plan import format_size, short_path
from espnet3.utils.stage_plan import StagePlan


def plan_pack_model(system: Any, extra: Sequence[Path] | None = None) -> StagePlan:
    """Count what the bundle would be made of.

    Args:
        system: Object with ``training_config`` and ``publication_config``.
        extra: Further paths that the system's stage packs.
    """
    plan = plan_pack(read_inputs(system, include=None, extra=extra))
    out_dir = plan.inputs.out_dir
    size = sum(path.stat().st_size for path in set(plan.copies.values()))
    replaces = "replaces the bundle" if out_dir.is_dir() else "writes a bundle"
    return StagePlan(
        why=f"{replaces} if anything changed" if out_dir.is_dir() else replaces,
        inputs=tuple(short_path(weight.source) for weight in plan.weights),
        outputs=(short_path(out_dir),),
        notes=(f"copies {len(plan.copies)} more files, {format_size(size)}", *_gaps(plan)),
    )


def _gaps(plan: PackPlan) -> Iterator[str]:
    """Say what would be packed and is not there; earlier stages of the same run may make it."""
    for _, path in plan.absent:
        yield f"does not exist yet: {short_path(path)}{suggest_neighbour(path)}"
    if plan.scores is None:
        yield "the model card gets no results: there are no scores yet"


def plan_upload_model(system: Any) -> StagePlan:
    """List what would be sent; the Hub is not asked.

    Args:
        system: Object with ``publication_config``, and optionally ``training_config``.

    Raises:
        BundleError: If there is no bundle that could be sent.
    """
    return describe_upload(lambda: plan_upload(system))


def describe_upload(decide: Callable[[], UploadPlan]) -> StagePlan:
    """Return what an upload would do.

    Args:
        decide: Returns the plan of the upload.
    """
    try:
        plan = decide()
    except ConfigError as error:
        # Unlike a folder that is not there, no earlier stage can mend this.
        return StagePlan(state="would fail", is_final=True, why=str(error))
    return StagePlan(
        why="sends what the repository lacks",
        inputs=(plan.bundle,),
        uploads=plan.files,
        notes=(
            f"{len(plan.files)} files for {plan.repository}, {format_size(plan.size)}",
            *plan.doubts,
        ),
    )
