"""What ``pack_demo`` and ``upload_demo`` would do."""

from __future__ import annotations

from typing import Any

from espnet3.demo.pack_plan import plan_demo
from espnet3.utils.run_plan import format_size, short_path
from espnet3.utils.stage_plan import StagePlan


def plan_pack_demo(system: Any) -> StagePlan:
    """Count what the demo would be made of.

    Args:
        system: Object with ``demo_config``.
    """
    plan = plan_demo(system)
    size = sum(path.stat().st_size for path in set(plan.copies.values()))
    files = f"copies {len(plan.copies)} files, {format_size(size)}"
    hub = (f"fetches {plan.hub_tag} when it starts",) if plan.hub_tag else ()
    return StagePlan(
        why="replaces what it packed" if plan.out_dir.is_dir() else "writes a demo",
        outputs=(short_path(plan.out_dir),),
        notes=(files, *hub),
    )


def plan_upload_demo(system: Any) -> StagePlan:
    """List what would be sent; the Hub is not asked, and the demo is not started.

    Args:
        system: Object with ``demo_config``.

    Raises:
        BundleError: If there is no packed demo.
    """
    # A dry run of pack_demo alone need not pay for these.
    from espnet3.demo.upload import plan_upload_demo as plan_upload
    from espnet3.systems.base.publication_plan import describe_upload

    return describe_upload(lambda: plan_upload(system).upload)
