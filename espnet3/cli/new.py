"""``espnet3 new``: make a recipe from a template, or copy one that is shipped."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from espnet3.cli.recipe_sources import (
    STARTER_NAME,
    TEMPLATE,
    RecipeSource,
    find_source,
    find_sources,
)
from espnet3.errors import ConfigError

_TEXT = (".md", ".py", ".yaml")


def add_parser(verbs: Any) -> None:
    """Add the verb to the parser of the command."""
    parser = verbs.add_parser(
        "new",
        help="make a recipe",
        description="Make a recipe from a template, or copy one that is shipped.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="where it goes, for example my_corpus/asr; must not exist or be empty",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="RECIPE",
        help=f"what to copy, for example mini_digits/asr; default: {TEMPLATE}/<FOLDER's last part>",
    )
    parser.add_argument("--list", action="store_true", help="show what can be copied")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the recipe, or list the sources."""
    if args.list:
        sys.stdout.write(_list_sources())
        return 0
    if args.folder is None:
        raise ConfigError("FOLDER is missing", hint="for example: espnet3 new my_corpus/asr")
    target = args.folder.absolute()
    if args.source is None and f"{TEMPLATE}/{target.name}" not in find_sources():
        raise ConfigError(
            "the last part of the folder is the task, and there is no"
            f" {TEMPLATE}/{target.name} to copy",
            hint=f"for example: espnet3 new {args.folder}/asr",
        )
    source = find_source(args.source or f"{TEMPLATE}/{target.name}")
    create_recipe(source, target)
    sys.stdout.write(
        f"made {args.folder} from {source.name}\n"
        f"  cd {args.folder}\n"
        "  read readme.md, then: espnet3 check\n"
    )
    return 0


def create_recipe(source: RecipeSource, target: Path) -> None:
    """Copy a recipe into a folder that does not exist or is empty; all of it or nothing.

    Raises:
        ConfigError: If the folder has content, or something else is in its place.
    """
    _refuse_content(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
    try:
        recipe = building / target.name
        for path in source.files():
            _copy(source, path, recipe, target)
        # Fails if somebody filled the folder in the meantime; nothing is ever replaced.
        recipe.rename(target)
    except OSError as error:
        _refuse_content(target)
        raise error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _refuse_content(target: Path) -> None:
    """Name the first file that is in the way."""
    ways = [target, *target.parents]
    first = next((p for p in ways if os.path.lexists(p) and not p.is_dir()), None)
    if target.is_dir():
        content = sorted(target.rglob("*"), key=lambda path: (path.is_dir(), path))
        first = content[0] if content else None
    if first is not None:
        raise ConfigError(
            f"{first} exists, and nothing of yours is overwritten",
            hint="name a folder that does not exist, or move this away",
        )


def _copy(source: RecipeSource, path: Path, recipe: Path, target: Path) -> None:
    copy = recipe / path
    copy.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in _TEXT:
        text = (source.folder / path).read_text(encoding="utf-8")
        copy.write_text(_adapt(text, source, path, target), encoding="utf-8")
    else:
        shutil.copyfile(source.folder / path, copy)


def _adapt(text: str, source: RecipeSource, path: Path, target: Path) -> str:
    """Give a recipe made from a template its name; let instructions point to the copy."""
    if source.is_template:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", target.parent.name) or STARTER_NAME
        return text.replace(STARTER_NAME, name)
    return text.replace(f"cd egs3/{source.name}\n", "") if path.suffix == ".md" else text


def _list_sources() -> str:
    sources = find_sources()
    width = max(map(len, sources), default=0)
    lines = [f"{name:{width}}  {source.summary()}".rstrip() for name, source in sources.items()]
    return "".join(f"{line}\n" for line in lines)
