"""Compare what the stages of a recipe need with what this machine has."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet3.cli import machine
from espnet3.cli.distributions import PackageState, find_collisions, inspect_package
from espnet3.cli.stage_needs import (
    COMMON_PACKAGES,
    MAIN_SLOTS,
    STAGE_PACKAGES,
    Need,
    needs_of_stage,
)
from espnet3.errors import MissingFileError
from espnet3.utils.package_requirements import install_command, read_requirements
from espnet3.utils.stage_table import STAGES, stage_entry

if TYPE_CHECKING:
    from espnet3.cli.check import PreparedRecipe

LITTLE_SPACE = 2 * 2**30
"""Free bytes below which a folder is worth a warning."""


@dataclass
class StageReport:
    """Whether one stage can run here."""

    stage: str
    present: list[str] = field(default_factory=list)
    """What it needs and has."""
    problems: list[str] = field(default_factory=list)
    is_optional: bool = False
    """Whether nobody asked for it."""


@dataclass
class Diagnosis:
    """Everything that was found."""

    reports: list[StageReport] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    variants: list[str] = field(default_factory=list)
    """What further configurations need that the usual ones do not."""
    extras: set[str] = field(default_factory=set)
    commands: list[str] = field(default_factory=list)
    is_broken: bool = False
    """Whether a stage that the configurations are for cannot run."""

    @property
    def remedies(self) -> list[str]:
        """Commands and advice, each once; all extras in one command."""
        extras = [install_command(self.extras)] if self.extras else []
        return list(dict.fromkeys([*extras, *self.commands]))


def diagnose(recipe_dir: Path | None) -> Diagnosis:
    """Examine this machine for a recipe, or for all stages without one.

    Args:
        recipe_dir: Folder of the recipe; ``None`` for the working directory, if it is one.

    Raises:
        MissingFileError: If the folder is named and is no recipe.
    """
    folder = recipe_dir or Path()
    is_recipe = (folder / "run.py").is_file() and (folder / "conf").is_dir()
    if recipe_dir is not None and not is_recipe:
        raise MissingFileError("is no recipe: it has no run.py or no conf/", file=recipe_dir)
    diagnosis = Diagnosis()
    _look_for_collisions(diagnosis)
    common = [inspect_package(name) for name in COMMON_PACKAGES]
    if is_recipe and not any(state.problem for state in common):
        _examine_recipe(diagnosis, folder.resolve())
    else:
        for stage, names in STAGE_PACKAGES.items():
            needs = [Need("package", name, "") for name in COMMON_PACKAGES + names]
            _examine_stage(diagnosis, stage, needs)
            diagnosis.reports[-1].is_optional = any(map(_is_extra, names))
    diagnosis.is_broken |= any(r.problems and not r.is_optional for r in diagnosis.reports)
    return diagnosis


def _is_extra(module: str) -> bool:
    requirement = read_requirements().get(module)
    return requirement is not None and requirement.extra is not None


def _examine_recipe(diagnosis: Diagnosis, recipe_dir: Path) -> None:
    from espnet3.cli.check import inside_recipe, prepare_recipe

    with inside_recipe(recipe_dir):
        prepared = prepare_recipe(recipe_dir)
        fatal = sum(finding.is_fatal for finding in prepared.findings)
        if fatal:
            diagnosis.is_broken = True
            text = f"the configuration has {fatal} mistake{'s' * (fatal > 1)}: run espnet3 check"
            diagnosis.warnings.append(text)
        for stage in prepared.stages:
            _examine_stage(diagnosis, stage, _needs(prepared, stage, recipe_dir))
        folders = filter(None, (_log_folder(prepared, stage) for stage in prepared.stages))
        _examine_folders(diagnosis, list(dict.fromkeys(folders)))
        for slot, config in prepared.configs.items():
            if slot.startswith("training"):
                _look_for_inputs(diagnosis, config)
        _examine_variants(diagnosis, recipe_dir, prepared)


def _examine_variants(diagnosis: Diagnosis, recipe_dir: Path, prepared: PreparedRecipe) -> None:
    """Look for packages that only configurations need that another flag would choose."""
    from espnet3.cli.check import find_variants, prepare_recipe

    known = {n.name for s in prepared.stages for n in _needs(prepared, s, recipe_dir)}
    for path in find_variants(recipe_dir, prepared):
        file = path.relative_to(recipe_dir)
        variant = prepare_recipe(recipe_dir, [file])
        slot = f"{path.stem.partition('_')[0]}_config"
        config = variant.configs.get(prepared.script.find_slot(path) or slot)
        stages = [stage for stage, main in MAIN_SLOTS.items() if main == slot]
        needs = [n for stage in stages for n in needs_of_stage(stage, config, recipe_dir)]
        added = {n.name: n for n in needs if n.kind == "package" and n.name not in known}
        report = StageReport(str(file))
        problems = {n: _problem(diagnosis, n, report) for n in added.values()}
        texts = [f"{text} ({n.reason})" for n, text in problems.items() if text is not None]
        if texts:
            diagnosis.variants.append(f"{file} cannot run: {', '.join(texts)}")


def _needs(prepared: PreparedRecipe, stage: str, recipe_dir: Path) -> list[Need]:
    # A stage of the recipe's own with such a name is a phase of training in all likelihood.
    base = "train" if stage.startswith("train_") and stage not in STAGES else stage
    config = prepared.configs.get(_main_slot(prepared, stage, MAIN_SLOTS.get(base)))
    needs = needs_of_stage(base, config, recipe_dir)
    folder = _log_folder(prepared, stage)
    return needs if folder is None else [*needs, Need("folder", str(folder), "")]


def _main_slot(prepared: PreparedRecipe, stage: str, slot: str | None) -> str:
    """Return the slot that takes the place of one of the framework's, by its template."""
    files = prepared.script.files
    candidates = prepared.script.slots_of(stage)
    same = [s for s in candidates if slot is not None and files.get(s) == files.get(slot)]
    return same[0] if same else slot or ""


def _examine_stage(diagnosis: Diagnosis, stage: str, needs: list[Need]) -> None:
    report = StageReport(stage)
    for need in needs:
        problem = _problem(diagnosis, need, report)
        if problem is not None:
            asked = f" ({need.reason})" if need.reason else ""
            report.problems.append(f"{problem}{asked}")
    diagnosis.reports.append(report)


def _problem(diagnosis: Diagnosis, need: Need, report: StageReport) -> str | None:
    """Say what is wrong with one need, or note that it is met."""
    if need.kind == "package":
        return _package_problem(diagnosis, inspect_package(need.name), report)
    if need.kind == "gpu":
        return _gpu_problem(diagnosis, int(need.name))
    if need.kind == "tool":
        return None if shutil.which(need.name) else f"there is no command {need.name}"
    path = Path(need.name)
    if need.kind == "file":
        return None if path.is_file() else f"{path} does not exist"
    return None if machine.is_writable(path) else f"{path} cannot be written"


def _package_problem(diagnosis: Diagnosis, state: PackageState, report: StageReport) -> str | None:
    if state.problem is None:
        report.present.append(state.label)
    elif state.extra is not None:
        diagnosis.extras.add(state.extra)
    elif state.remedy is not None:
        diagnosis.commands.append(state.remedy)
    return state.problem


def _gpu_problem(diagnosis: Diagnosis, wanted: int) -> str | None:
    found = machine.count_gpus()
    if found < wanted:
        return f"needs {wanted} GPU{'s' * (wanted > 1)}, and {found or 'none'} can be seen"
    build = machine.torch_build()
    if build is not None and build.cuda is None:
        diagnosis.commands.append("install the torch build for your driver (pytorch.org)")
        return f"torch {build.version} was built without support for GPUs"
    return None


def _log_folder(prepared: PreparedRecipe, stage: str) -> Path | None:
    """Return the folder that a stage writes to, where it is known."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    base = "train" if stage.startswith("train_") and stage not in STAGES else stage
    slot, _, key = (stage_entry(base).log_dir or "").partition(".")
    config = prepared.configs.get(_main_slot(prepared, stage, slot or None))
    if config is None:
        return None
    try:
        value = OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None
    return Path(value) if isinstance(value, str) and value != "???" else None


def _examine_folders(diagnosis: Diagnosis, folders: Sequence[Path]) -> None:
    for folder in folders:
        free = machine.free_bytes(folder)
        state = "writable" if machine.is_writable(folder) else "not writable"
        diagnosis.folders.append(f"{folder}: {state}, {free / 2**30:.1f} GiB free")
    if folders and min(map(machine.free_bytes, folders)) < LITTLE_SPACE:
        diagnosis.warnings.append("less than 2 GiB are free where results go")


def _look_for_inputs(diagnosis: Diagnosis, config: Any) -> None:
    """Note files that ``create_dataset`` is given and that do not exist; it may make them."""
    from espnet3.utils.config_merge import walk

    block = {} if config is None else _to_plain(config).get("create_dataset") or {}
    for key, value in walk(block):
        is_path = isinstance(value, str) and "/" in value and Path(value).suffix
        if is_path and "://" not in value and not Path(value).exists():
            text = f"create_dataset.{key} = {value} does not exist"
            if text not in diagnosis.warnings:
                diagnosis.warnings.append(text)


def _to_plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    return plain


def _look_for_collisions(diagnosis: Diagnosis) -> None:
    for item in find_collisions():
        verb = "has overwritten files of" if item.is_overwriting else "also has a package"
        name = f"{verb} {item.package}" if item.is_overwriting else f"{verb} {item.package}/"
        diagnosis.warnings.append(f"{item.distribution} {name} ({item.num_files} files)")
        diagnosis.commands.append(
            f"use an environment without {item.distribution.partition(' ')[0]}, or at least: "
            "pip install --force-reinstall --no-deps espnet3"
        )
        diagnosis.is_broken |= item.is_overwriting
