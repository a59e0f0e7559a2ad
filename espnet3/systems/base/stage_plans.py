"""What the stages of the base system declare, imported when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet3.utils.stage_plan import StagePlan


def plan_create_dataset(system: Any) -> StagePlan:
    """Plan the stage ``create_dataset``."""
    from espnet3.systems.base import dataset_plan

    return dataset_plan.plan_create_dataset(system.training_config, system.inference_config)


def plan_collect_stats(system: Any) -> StagePlan:
    """Plan the stage ``collect_stats``."""
    from espnet3.systems.base import training_plan

    return training_plan.plan_collect_stats(system.training_config)


def plan_train(system: Any) -> StagePlan:
    """Plan the stage ``train``."""
    from espnet3.systems.base import training_plan

    return training_plan.plan_train(system.training_config)


def plan_infer(system: Any) -> StagePlan:
    """Plan the stage ``infer``."""
    from espnet3.systems.base import inference_plan

    return inference_plan.plan_infer(system.inference_config)


def plan_measure(system: Any) -> StagePlan:
    """Plan the stage ``measure``."""
    from espnet3.systems.base import inference_plan

    return inference_plan.plan_measure(system.metrics_config)


def plan_pack_model(system: Any, extra: Sequence[Path] | None = None) -> StagePlan:
    """Plan the stage ``pack_model``, with further paths that a system packs."""
    from espnet3.systems.base import publication_plan

    return publication_plan.plan_pack_model(system, extra)


def plan_upload_model(system: Any) -> StagePlan:
    """Plan the stage ``upload_model``."""
    from espnet3.systems.base import publication_plan

    return publication_plan.plan_upload_model(system)


def plan_pack_demo(system: Any) -> StagePlan:
    """Plan the stage ``pack_demo``."""
    from espnet3.systems.base import demo_plan

    return demo_plan.plan_pack_demo(system)


def plan_upload_demo(system: Any) -> StagePlan:
    """Plan the stage ``upload_demo``."""
    from espnet3.systems.base import demo_plan

    return demo_plan.plan_upload_demo(system)
