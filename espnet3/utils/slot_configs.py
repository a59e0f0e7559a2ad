"""From the files of a recipe to checked configurations: all that precedes the building of a system.

``run.py`` and ``espnet3 check`` both go through :func:`prepare_configs`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from espnet3.errors import ConfigError
from espnet3.utils.config_resolution import is_unset_note
from espnet3.utils.config_utils import load_and_merge_config, load_config_with_defaults
from espnet3.utils.experiment_naming import (
    apply_training_experiment_context,
    known_value,
    resolve_loaded_configs,
    validate_experiment_context,
)
from espnet3.utils.key_accounting import Finding, check_config, check_configs
from espnet3.utils.overrides import apply_overrides
from espnet3.utils.recipe_path import activate_recipe, running_recipe_dir
from espnet3.utils.run_checks import RunRequest, check_run
from espnet3.utils.stage_table import SLOT_FILES
from espnet3.utils.swapped_slots import find_swapped

if TYPE_CHECKING:
    from espnet3.utils.smoke.refinement import Refinement

logger = logging.getLogger(__name__)

Configs = dict[str, DictConfig | None]
"""Slot name to configuration; ``None`` for a slot without a file."""


@dataclass(frozen=True, kw_only=True)
class SlotRequest:
    """Which configurations to prepare, and for what."""

    paths: Mapping[str, Any]
    """Slot → file of the recipe, ``None`` for an empty slot."""
    files: Mapping[str, str | None]
    """Slot → template file with its defaults, ``None`` for no defaults."""
    template_package: str
    """Package that holds the template files."""
    overrides: Sequence[str] = ()
    """``slot.key=value``, in order."""
    stages: Sequence[str] = ()
    """Stages that are to run."""
    naming_source: str = "training_config"
    """Slot that names the experiment for the others."""
    system_cls: Any = None
    """Class whose stages are to run; null leaves out what a stage needs from another one."""
    smoke: Refinement | None = None
    """The recipe's own rules for smoke mode; ``None`` outside of it."""


def prepare_configs(request: SlotRequest) -> tuple[Configs, list[Finding]]:
    """Load, override, check, name and resolve all configurations, and list what is wrong.

    Goes on after a mistake as far as its consequences allow, so that one call finds as many as
    possible. The configurations are fit for use only if no finding is fatal.
    """
    configs, findings = load_slots(request)
    if swapped := list(map(Finding, find_swapped(configs, request.files))):
        return configs, findings + swapped
    is_complete = not findings
    findings += override_slots(configs, request)
    activate_named_recipe(configs)
    if request.smoke is not None and not findings:
        findings += _attempt(_shrink, configs, request, request.smoke)
    broken: list[Finding] = []
    if is_complete:
        findings += name_experiment(configs, request.naming_source, request.stages)
        for config in configs.values():
            broken += _attempt(resolve_loaded_configs, config)
    findings += check_slots(configs, request.files)
    unknown = {_section_of(f.error.key or "") for f in findings if f.is_fatal}
    findings += [f for f in broken if not _is_consequence(f.error, unknown)]
    if not any(finding.is_fatal for finding in findings):
        findings += check_together(configs, request)
    return configs, drop_repetition(findings)


def drop_repetition(findings: list[Finding]) -> list[Finding]:
    """Keep one finding of those that the same null causes, and where values stand, not copies."""
    if any(f.is_fatal and not f.is_borrowed for f in findings):
        findings = [f for f in findings if not f.is_borrowed]
    first = {f.error.hint: f for f in reversed(findings) if is_unset_note(f.error.hint)}
    return [f for f in findings if f.error.hint not in first or first[f.error.hint] is f]


def _is_consequence(error: ConfigError, sections: set[str]) -> bool:
    """Tell whether an interpolation is broken because the key that it uses is misspelt."""
    target = re.search(r"(\S+), which does not exist$", error.message)
    return target is not None and _section_of(target[1]) in sections - {""}


def _section_of(key: str) -> str:
    return key.rpartition(".")[0]


def load_slots(request: SlotRequest) -> tuple[Configs, list[Finding]]:
    """Load each given file over its template, unresolved; a slot that fails is left out."""
    configs: Configs = {}
    findings: list[Finding] = []
    for slot, path in request.paths.items():
        file, package = request.files[slot], request.template_package
        try:
            if path is None:
                configs[slot] = None
            elif file is None:
                configs[slot] = load_config_with_defaults(path, resolve=False)
            else:
                configs[slot] = load_and_merge_config(path, file, package, resolve=False)
        except ConfigError as error:
            findings.append(Finding(error))
    return configs, findings


def _shrink(configs: Configs, request: SlotRequest, refinement: Refinement) -> None:
    """Make the configurations small, in place."""
    from espnet3.utils.smoke.shrink import log_changes, shrink_configs

    # The names first: they say where the experiment would write without smoke mode.
    name_experiment(configs, request.naming_source, ())
    recipe_dir = running_recipe_dir() or Path.cwd()
    changes = shrink_configs(
        configs,
        request.files,
        refinement,
        naming_source=request.naming_source,
        recipe_dir=recipe_dir,
    )
    log_changes(changes)


def override_slots(configs: Configs, request: SlotRequest) -> list[Finding]:
    """Apply ``slot.key=value`` in place, but for slots whose file could not be loaded."""
    findings: list[Finding] = []
    broken = {slot.removesuffix("_config") for slot in request.paths if slot not in configs}
    for text in request.overrides:
        if text.partition(".")[0].strip() not in broken:
            findings += _attempt(apply_overrides, configs, [text])
    return findings


def activate_named_recipe(configs: Configs) -> None:
    """Make the code of the running recipe importable, or of the one that a configuration names."""
    recipe_dir = running_recipe_dir()
    if recipe_dir is None:
        named = (known_value(c, "recipe_dir") for c in configs.values() if c is not None)
        recipe_dir = next((Path(value) for value in named if value is not None), None)
    if recipe_dir is not None:
        activate_recipe(recipe_dir)


def check_slots(configs: Configs, files: Mapping[str, str | None]) -> list[Finding]:
    """Check the keys of all loaded configurations; an extra slot by the rules of its template."""
    findings = check_configs({s: c for s, c in configs.items() if s in SLOT_FILES})
    for slot, file in files.items():
        config = configs.get(slot)
        if slot not in SLOT_FILES and config is not None:
            findings += check_config(config, Path(file or slot).stem)
    return findings


def check_together(configs: Configs, request: SlotRequest) -> list[Finding]:
    """Check what slots and stages say together."""
    loaded = {s.removesuffix("_config"): c for s, c in configs.items() if c is not None}
    known = {s: c for s, c in loaded.items() if f"{s}_config" in SLOT_FILES}
    source = configs.get(request.naming_source)
    if source is not None:  # the slot that stands for the usual one
        known.setdefault("training", source)
    return check_run(
        RunRequest(configs=known, stages=request.stages, system_cls=request.system_cls)
    )


def name_experiment(
    configs: Configs, naming_source: str, stages_to_run: Sequence[str]
) -> list[Finding]:
    """Let the experiment's name propagate between slots, in place, and check that there is one."""
    training_config = configs.get(naming_source)
    apply_training_experiment_context(
        training_config=training_config,
        inference_config=configs["inference_config"],
        metrics_config=configs["metrics_config"],
        publication_config=configs["publication_config"],
        demo_config=configs["demo_config"],
        log=logger,
    )
    return _attempt(
        validate_experiment_context,
        training_config=training_config,
        inference_config=configs["inference_config"],
        metrics_config=configs["metrics_config"],
        stages_to_run=stages_to_run,
    )


def _attempt(step: Any, *args: Any, **kwargs: Any) -> list[Finding]:
    try:
        step(*args, **kwargs)
    except ConfigError as error:
        return [Finding(error)]
    return []
