"""``espnet3 check``: everything about a configuration that can be known without torch."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet3.errors import ConfigError, MissingFileError

if TYPE_CHECKING:
    from espnet3.cli.recipe_script import RecipeScript
    from espnet3.utils.key_accounting import Finding
    from espnet3.utils.slot_configs import Configs


def add_parser(verbs: Any) -> None:
    """Add the verb to the parser of the command."""
    parser = verbs.add_parser(
        "check",
        help="check the configuration of a recipe",
        description="Check configurations as run.py does before the first stage, without torch. "
        "The status is 1 when something is wrong.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="a recipe, or configuration files of one; default: the working directory",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SLOT.KEY=VALUE",
        help="override one value, as with run.py; repeatable",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line per slot, then every finding with its place, cause and remedy."""
    recipe_dir, files = locate_recipe(args.paths)
    with inside_recipe(recipe_dir):
        prepared = prepare_recipe(recipe_dir, files, args.set)
    paths, configs, findings = prepared.paths, prepared.configs, prepared.findings
    lines = [*_summary(paths, configs, findings), *map(_describe, findings)]
    if not files:
        lines += _unread(recipe_dir, prepared)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(any(finding.is_fatal for finding in findings))


@dataclass(frozen=True)
class PreparedRecipe:
    """A recipe's script and configurations, as ``run.py`` would see them."""

    script: RecipeScript
    paths: dict[str, Path | None]
    stages: list[str]
    configs: Configs
    findings: list[Finding]


def prepare_recipe(
    recipe_dir: Path, files: Sequence[Path] = (), overrides: Sequence[str] = ()
) -> PreparedRecipe:
    """Prepare the configurations of the recipe in the working directory.

    Args:
        recipe_dir: Folder of the recipe.
        files: Configurations to take; by default one for each slot that has one.
        overrides: ``slot.key=value``, in order.
    """
    from espnet3.cli.recipe_script import read_recipe_script
    from espnet3.utils.slot_configs import SlotRequest, prepare_configs
    from espnet3.utils.stage_table import UPLOAD_STAGES

    script = read_recipe_script(recipe_dir)
    paths = script.assign_configs(files) if files else script.find_configs(recipe_dir)
    # Files on their own are not a run: nobody said which stages they are for.
    stages = [] if files else script.runnable_stages(paths)
    request = SlotRequest(
        paths=paths,
        files=script.files,
        template_package=script.template_package,
        overrides=overrides,
        # Uploads run only when they are named, so nothing has to be ready for them here.
        stages=[stage for stage in stages if stage not in UPLOAD_STAGES],
        naming_source=script.naming_source,
        system_cls=script.system_cls,
    )
    return PreparedRecipe(script, paths, stages, *prepare_configs(request))


def locate_recipe(paths: Sequence[Path]) -> tuple[Path, list[Path]]:
    """Return the folder of the recipe, and the configuration files if some are named.

    Raises:
        MissingFileError: If a path does not exist.
        ConfigError: If several folders, or folders and files, are named.
    """
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise MissingFileError("no such file or folder", file=missing)
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise ConfigError("name one recipe, or configuration files of one")
    if folders or not paths:
        return (folders or [Path()])[0].resolve(), []
    files = [path.absolute() for path in paths]
    recipe = next((p for p in files[0].parents if (p / "run.py").is_file()), Path.cwd())
    return recipe, [_relative(path, recipe) for path in files]


@contextlib.contextmanager
def inside_recipe(recipe_dir: Path) -> Iterator[None]:
    """Work where the recipe's relative paths start, with its code importable."""
    from espnet3.utils.recipe_path import activate_recipe

    with contextlib.chdir(recipe_dir):
        activate_recipe(recipe_dir)
        yield


def _relative(path: Path, recipe: Path) -> Path:
    return path.relative_to(recipe) if path.is_relative_to(recipe) else path


def _summary(
    paths: Mapping[str, Path | None], configs: Configs, findings: Sequence[Finding]
) -> Iterator[str]:
    from espnet3.utils.config_merge import walk

    given = {slot: path for slot, path in paths.items() if path is not None}
    width = max(len(path.as_posix()) for path in given.values())
    for slot, path in given.items():
        config = configs.get(slot)
        count = sum(_is_about(finding, slot, path) for finding in findings)
        if config is None:
            verdict = "cannot be read"
        elif count:
            verdict = f"{count} finding{'s' * (count > 1)}"
        else:
            leaves = sum(not isinstance(v, dict | list) for _, v in walk(_plain(config)))
            verdict = f"ok, {leaves} values with the defaults of the template"
        yield f"{path.as_posix():{width}}  {verdict}"


def _plain(config: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=False)


def _is_about(finding: Finding, slot: str, path: Path) -> bool:
    file = str(finding.error.file)
    return Path(file) == path or file.startswith(f"--set {slot.removesuffix('_config')}.")


def _describe(finding: Finding) -> str:
    kind = "error" if finding.is_fatal else "warning"
    return "\n".join([f"{kind}: {finding.error}", *getattr(finding.error, "__notes__", [])])


def _unread(recipe_dir: Path, prepared: PreparedRecipe) -> Iterator[str]:
    files = find_variants(recipe_dir, prepared)
    names = [path.relative_to(recipe_dir / "conf").as_posix() for path in files]
    if names:
        yield f"not checked: {', '.join(names)} (espnet3 check conf/<name> does)"


def find_variants(recipe_dir: Path, prepared: PreparedRecipe) -> list[Path]:
    """Return configurations of slots that were not asked for and that no other file includes."""
    from espnet3.utils.config_sources import get_sources

    loaded = [config for config in prepared.configs.values() if config is not None]
    places = [place for config in loaded for place in get_sources(config).positions.values()]
    given = [str(path) for path in prepared.paths.values() if path is not None]
    files = [place.file for place in places if place.file] + given
    read = {(recipe_dir / file).resolve() for file in files}
    others = [path for path in recipe_dir.glob("conf/**/*.yaml") if path.resolve() not in read]
    return sorted(path for path in others if prepared.script.find_slot(path))
