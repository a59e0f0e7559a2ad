"""Which configuration a stage needs, and where it logs: one table, data only."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

SLOT_FILES: dict[str, str] = {
    "training_config": "training.yaml",
    "inference_config": "inference.yaml",
    "metrics_config": "metrics.yaml",
    "publication_config": "publication.yaml",
    "demo_config": "demo.yaml",
}
"""Slot of a system, and the TEMPLATE file that holds its defaults."""


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """What the framework knows about one stage."""

    slots: tuple[str, ...] = ()
    """Slots that must be filled before the stage can start."""
    log_dir: str | None = None
    """Dotted reference, from the system, to the folder of the stage log."""
    uses_torch: bool = False
    """Whether the stage loads torch anyway, so that its log may report on it."""


STAGES: dict[str, StageEntry] = {
    "create_dataset": StageEntry(slots=("training_config",), log_dir="training_config.data_dir"),
    "train_tokenizer": StageEntry(
        slots=("training_config",), log_dir="training_config.tokenizer.save_path"
    ),
    "collect_stats": StageEntry(
        slots=("training_config",), log_dir="training_config.stats_dir", uses_torch=True
    ),
    "train": StageEntry(
        slots=("training_config",), log_dir="training_config.exp_dir", uses_torch=True
    ),
    "infer": StageEntry(
        slots=("inference_config",), log_dir="inference_config.inference_dir", uses_torch=True
    ),
    "measure": StageEntry(slots=("metrics_config",), log_dir="metrics_config.inference_dir"),
    "pack_model": StageEntry(
        slots=("training_config", "publication_config"), log_dir="training_config.exp_dir"
    ),
    "upload_model": StageEntry(slots=("publication_config",), log_dir="training_config.exp_dir"),
    "pack_demo": StageEntry(slots=("demo_config",)),
    "upload_demo": StageEntry(slots=("demo_config",)),
}

UPLOAD_STAGES: tuple[str, ...] = ("upload_model", "upload_demo")
"""Stages that publish. They run only when they are named, never through ``all``."""

NAMED_STAGES: tuple[str, ...] = (*UPLOAD_STAGES, "pack_demo")
"""Stages that are not part of ``all``."""


def stage_entry(stage: str) -> StageEntry:
    """Return what is known about a stage; a recipe's own stage needs nothing and logs anywhere."""
    return STAGES.get(stage, StageEntry())


def template_file(slot: str) -> str | None:
    """Return the TEMPLATE file with the defaults of a slot of any name.

    A slot of a recipe's own that is named after a standard one has the same defaults.

    Example:
        >>> template_file("training_easy_config"), template_file("export_config")
        ('training.yaml', None)
    """
    return SLOT_FILES.get(f"{slot.partition('_')[0]}_config")


def misspelt_slot(name: str) -> str | None:
    """Return the standard slot that a name misspells; a name built around one is a slot of its own.

    Example:
        >>> misspelt_slot("trainig_config"), misspelt_slot("training_easy_config")
        ('training_config', None)
    """
    if any(slot.removesuffix("_config") in name for slot in SLOT_FILES):
        return None
    return next(iter(difflib.get_close_matches(name, SLOT_FILES, n=1, cutoff=0.9)), None)


def flag_of(slot: str) -> str:
    """Return the command-line flag that fills a slot."""
    return f"--{slot}"
