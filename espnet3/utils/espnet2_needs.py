"""Which stages of a run need ESPnet2, known before the first of them starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.errors import MissingDependencyError
from espnet3.utils.config_merge import walk
from espnet3.utils.config_sources import indexed_key
from espnet3.utils.stage_table import STAGES, stage_entry
from espnet3.utils.target_aliases import is_espnet2_installed, serving_target

TRAIN_ONLY = ("criterion", "optimizer", "scheduler", "lightning_module", "trainer")
"""Sections of the training configuration that no other stage builds."""

_BUILDERS = ("collect_stats", "train", "infer", "measure")
_BRIDGES = tuple(
    f"espnet3.systems.asr.{name}." for name in ("task", "transducer_task", "transducer_recognizer")
)
"""Modules of ours that cannot be imported without ESPnet2."""


def iter_needs(stage: str, plain: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield dotted key and value of what a stage cannot build without ESPnet2.

    Args:
        stage: Name of the stage; one of a recipe's own counts as a phase of training.
        plain: Raw or resolved content of its configuration.
    """
    if stage in STAGES and stage not in _BUILDERS:
        return
    may_train = stage == "train" or stage not in STAGES
    for key, value in walk({k: v for k, v in plain.items() if may_train or k not in TRAIN_ONLY}):
        name = key.rpartition(".")[2]
        is_built = name == "_target_" or key == "task"
        if isinstance(value, str) and is_built and needs_espnet2(value):
            yield indexed_key(key), value
        elif name == "clean_types" and value and stage == "measure":
            yield indexed_key(key), str(value)


def needs_espnet2(path: str) -> bool:
    """Tell whether a dotted path leads into ESPnet2, or into a module of ours that needs it."""
    return serving_target(path).startswith("espnet2.") or path.startswith(_BRIDGES)


def missing_espnet2(
    configs: Mapping[str, DictConfig | None],
    stages: Sequence[str],
    required_configs: Mapping[str, str | Sequence[str]] | None = None,
) -> MissingDependencyError | None:
    """Return the error that says which stages need ESPnet2, where it is not installed.

    Args:
        configs: Slot → configuration.
        stages: Stages that are to run.
        required_configs: Stage → slot or slots that it needs, over the framework's own table.
    """
    if is_espnet2_installed():
        return None
    lines: dict[str, list[str]] = {}
    for stage in stages:
        slots = (required_configs or {}).get(stage, stage_entry(stage).slots)
        for slot in [slots] if isinstance(slots, str) else slots:
            config = configs.get(slot)
            plain: Any = None if config is None else OmegaConf.to_container(config, resolve=False)
            for key, value in iter_needs(stage, plain or {}):
                text = f"{slot.removesuffix('_config')}.{key} = {value!r}"
                lines.setdefault(text, []).append(stage)
    if not lines:
        return None
    from espnet3.utils.package_requirements import install_command  # reads package metadata

    named = "".join(f"\n  {text} (stage {', '.join(of)})" for text, of in lines.items())
    return MissingDependencyError(
        f"the run needs ESPnet2, which is not installed:{named}\n"
        f"  install it with: {install_command(['espnet2'])}"
    )
