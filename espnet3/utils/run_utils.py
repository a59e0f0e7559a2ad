"""What every ``run.py`` does: load configurations, build the system, run the stages."""

from __future__ import annotations

import argparse
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, MissingConfigError
from espnet3.utils.dry_run import dry_run_scope
from espnet3.utils.espnet2_needs import missing_espnet2
from espnet3.utils.experiment_naming import (
    apply_training_experiment_context,
    resolve_loaded_configs,
    validate_experiment_context,
)
from espnet3.utils.key_accounting import report_findings
from espnet3.utils.log_reference import check_log_mapping
from espnet3.utils.logging_utils import configure_logging
from espnet3.utils.recipe_path import running_recipe_dir
from espnet3.utils.run_cli import build_parser, parse_cli_and_stage_args
from espnet3.utils.slot_configs import Configs, SlotRequest, prepare_configs
from espnet3.utils.smoke import flow
from espnet3.utils.smoke.refinement import read_refinement
from espnet3.utils.stage_table import SLOT_FILES, STAGES, flag_of, stage_entry, template_file
from espnet3.utils.stages_utils import resolve_stages, run_stages

logger = logging.getLogger(__name__)


def main(
    args: argparse.Namespace,
    system_cls: Callable[..., Any],
    stages: Sequence[str] | None = None,
    *,
    default_stages: Sequence[str],
    template_package: str,
    extra_configs: Mapping[str, str | None] | None = None,
    required_configs: Mapping[str, str | Sequence[str]] | None = None,
    naming_source: str = "training_config",
) -> None:
    """Run the requested stages of a recipe.

    Args:
        args: Parsed command line. Absent attributes count as not given.
        system_cls: System of the recipe; called with the slots as keywords.
        stages: The recipe's stages in the order in which they run; by default the list that its
            parser was built with, else ``default_stages``.
        default_stages: Stages of the template.
        template_package: Package whose ``conf`` holds the defaults, ``egs3.TEMPLATE.asr``.
        extra_configs: Further slots → the template file with their defaults, or ``None``. Flags
            of the recipe that end in ``_config`` are slots without being listed here; one called
            ``--training_…_config`` has the defaults of ``training.yaml``.
        required_configs: Stage → slot or slots that it needs, over the framework's own table.
        naming_source: Slot that names the experiment for inference, metrics and publication.

    Raises:
        ConfigError: If a stage is unknown or a configuration is missing or wrong; this is found
            before anything is written.
        MissingDependencyError: If a stage needs ESPnet2 and it is not installed.
        Exception: What a stage raises, unchanged.
    """
    configure_logging()
    known_stages = stages or getattr(args, "stage_list", None) or default_stages
    requested = _words(args, "stages") or ["all"]
    stages_to_run = resolve_stages(requested, known_stages)
    own = {slot: template_file(slot) for slot in vars(args) if slot.endswith("_config")}
    files = {**SLOT_FILES, **own, **(extra_configs or {})}
    paths = {slot: getattr(args, slot, None) for slot in files}
    smoke = None
    if getattr(args, "smoke", False):
        recipe_dir = running_recipe_dir() or Path.cwd()
        smoke = read_refinement(recipe_dir)
        paths = flow.default_paths(paths, recipe_dir, partial(_takes, system_cls))
        lacks = partial(_missing_slots, paths=paths, required_configs=required_configs)
        stages_to_run = flow.select_stages(stages_to_run, requested, smoke, lacks)
    check_required_configs(stages_to_run, paths, required_configs)
    _warn_about_order(stages_to_run)

    request = SlotRequest(
        paths=paths,
        files=files,
        template_package=template_package,
        overrides=_words(args, "set"),
        stages=stages_to_run,
        naming_source=naming_source,
        system_cls=system_cls,
        smoke=smoke,
    )
    configs, findings = prepare_configs(request)
    report_findings(findings)

    is_dry_run = bool(getattr(args, "dry_run", False))
    absent = missing_espnet2(configs, stages_to_run, required_configs)
    if absent is not None and not is_dry_run:
        raise absent
    if absent is not None:
        logger.warning("%s", absent)
    with dry_run_scope(is_dry_run), flow.smoke_scope(smoke is not None):
        system = build_system(system_cls, configs)
        system.config_paths = {s: Path(p).absolute() for s, p in paths.items() if p is not None}
        logger.info("requested stages: %s", " ".join(requested))
        logger.info("stages to run: %s", " ".join(stages_to_run))
        run_stages(system=system, stages_to_run=stages_to_run, args=args, log=logger)
    if smoke is not None and not is_dry_run:
        flow.log_end(configs[naming_source], stages_to_run)


def _words(args: argparse.Namespace, name: str) -> Sequence[str]:
    """Return the words of a flag; a notebook may give a single one as it is."""
    value = getattr(args, name, None) or ()
    return [value] if isinstance(value, str) else value


def check_required_configs(
    stages_to_run: Sequence[str],
    paths: Mapping[str, Any],
    required_configs: Mapping[str, str | Sequence[str]] | None = None,
) -> None:
    """Check that every requested stage has a file for each slot that it needs.

    Raises:
        MissingConfigError: Otherwise; also a ``ValueError``.
    """
    absent = {stage: _missing_slots(stage, paths, required_configs) for stage in stages_to_run}
    missing = {stage: slots for stage, slots in absent.items() if slots}
    if not missing:
        return
    # A recipe with needs of its own has other flags than the standard five.
    named = dict.fromkeys(slot for slots in missing.values() for slot in slots)
    flags = "/".join(map(flag_of, named if required_configs else SLOT_FILES))
    usual = {slot: Path("conf", f"{slot.removesuffix('_config')}.yaml") for slot in named}
    there = [f"{flag_of(slot)} {path}" for slot, path in usual.items() if path.is_file()]
    raise MissingConfigError(
        f"Config not provided for stage(s): {', '.join(missing)}. Use {flags}.",
        hint=f"for example {' '.join(there)}" if there else None,
    )


def _missing_slots(
    stage: str,
    paths: Mapping[str, Any],
    required_configs: Mapping[str, str | Sequence[str]] | None,
) -> list[str]:
    needs = (required_configs or {}).get(stage, stage_entry(stage).slots)
    slots = [needs] if isinstance(needs, str) else needs
    return [slot for slot in slots if paths.get(slot) is None]


def _takes(system_cls: Callable[..., Any], slot: str) -> bool:
    """Tell whether the constructor of a system takes a slot."""
    parameters = inspect.signature(system_cls).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return takes_any or slot in parameters


def build_system(system_cls: Callable[..., Any], configs: Configs) -> Any:
    """Call the system with the slots that its constructor takes.

    Raises:
        ConfigError: If a file was given for a slot that it does not take.
    """
    taken = {slot: config for slot, config in configs.items() if _takes(system_cls, slot)}
    refused = [s for s, config in configs.items() if config is not None and s not in taken]
    if refused:
        name = getattr(system_cls, "__name__", str(system_cls))
        raise ConfigError(
            f"{', '.join(map(flag_of, refused))} was given, but {name} takes no "
            f"{', '.join(refused)}",
            hint=f"leave the flag out, or add the parameter to {name}.__init__",
        )
    system = system_cls(**taken)
    for complaint in check_log_mapping(system, getattr(system, "stage_log_mapping", None) or {}):
        logger.warning("stage_log_mapping: %s", complaint)
    return system


def _warn_about_order(stages_to_run: Sequence[str]) -> None:
    if "infer" not in stages_to_run:
        return
    after = stages_to_run[stages_to_run.index("infer") + 1 :]
    late = [stage for stage in after if stage.startswith("train") and stage not in STAGES]
    if late:
        logger.warning(
            "%s will run after infer, because it comes later in the stage list", ", ".join(late)
        )


__all__ = [
    "apply_training_experiment_context",
    "build_parser",
    "build_system",
    "check_required_configs",
    "main",
    "parse_cli_and_stage_args",
    "resolve_loaded_configs",
    "resolve_stages",
    "validate_experiment_context",
]
