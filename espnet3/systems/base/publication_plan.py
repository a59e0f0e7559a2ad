"""What ``pack_model`` and ``upload_model`` would do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet3.publication.bundle import list_members
from espnet3.publication.pack_inputs import read_inputs, read_value
from espnet3.publication.pack_plan import plan_pack
from espnet3.utils.publish_utils import NO_UPLOAD
from espnet3.utils.run_plan import format_size
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
        why=f"always runs; {replaces}",
        inputs=tuple(_short(weight.source) for weight in plan.weights),
        outputs=(_short(out_dir),),
        notes=(f"copies {len(plan.copies)} more files, {format_size(size)}",),
    )


def plan_upload_model(publication_config: Any) -> StagePlan:
    """List the files of the bundle, as its manifest names them."""
    folder = read_value(publication_config, "pack_model.out_dir")
    repository = read_value(publication_config, "upload_model.hf_repo")
    bundle = None if folder is None else Path(str(folder))
    members = () if bundle is None else list_members(bundle)
    where = f"{len(members)} files for {repository}" if members else "there is no bundle yet"
    return StagePlan(
        state="would fail",
        is_final=True,
        why=NO_UPLOAD,
        inputs=() if bundle is None else (bundle,),
        uploads=members,
        notes=(where,),
    )


def _short(path: Path) -> Path:
    """Return a path as it reads from here, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
