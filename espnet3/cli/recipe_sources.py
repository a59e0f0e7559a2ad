"""What ``espnet3 new`` can copy: the recipes and templates of the installed ``egs3`` package."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from espnet3.errors import ConfigError, did_you_mean

TEMPLATE = "TEMPLATE"
STARTER = "starter"
"""Folder of a template with the recipe that is made from it."""
STARTER_NAME = "my_corpus"
"""What the files of a starter call their recipe."""
_MADE = ("data", "exp", "downloads", "logs")


@dataclass(frozen=True)
class RecipeSource:
    """A recipe that can be copied."""

    name: str
    """``<recipe>/<task>``, or ``TEMPLATE/<task>``."""
    folder: Path
    """Where its files are."""

    @property
    def is_template(self) -> bool:
        """Whether the copy gets a name of its own."""
        return self.name.startswith(f"{TEMPLATE}/")

    def files(self) -> list[Path]:
        """Return its files, relative to the folder, without what its stages made."""
        return sorted(
            path.relative_to(self.folder)
            for path in self.folder.rglob("*")
            if path.is_file() and not _is_made(path.relative_to(self.folder))
        )

    def summary(self) -> str:
        """Return the first paragraph of its readme up to the first full stop."""
        readme = self.folder / "readme.md"
        text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
        paragraphs = [part for part in text.split("\n\n") if part and not part.startswith("#")]
        return " ".join(paragraphs[0].split()).partition(". ")[0].rstrip(".") if paragraphs else ""


def find_sources() -> dict[str, RecipeSource]:
    """Return everything that can be copied, by name, templates first."""
    found = {source.name: source for root in _roots() for source in _sources_in(root)}
    return dict(sorted(found.items(), key=lambda item: (not item[1].is_template, item[0])))


def find_source(name: str) -> RecipeSource:
    """Return the source of a name.

    Raises:
        ConfigError: If there is none.
    """
    sources = find_sources()
    if name not in sources:
        close = did_you_mean(name, sources)
        known = "there are: " + (", ".join(sources) or "none, because egs3 is not installed")
        raise ConfigError(
            f"there is no recipe {name!r} to copy",
            hint="\n  ".join(filter(None, (close, known))),
        )
    return sources[name]


def _roots() -> list[Path]:
    spec = importlib.util.find_spec("egs3")
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def _sources_in(root: Path) -> Iterator[RecipeSource]:
    for script in root.glob("*/*/run.py"):
        folder = script.parent
        name = f"{folder.parent.name}/{folder.name}"
        starter = folder / STARTER
        # A template without a starter is copied as it is: its own run.py and defaults run too.
        yield RecipeSource(name, starter if starter.is_dir() else folder)


def _is_made(path: Path) -> bool:
    is_cache = "__pycache__" in path.parts or path.suffix == ".pyc"
    return is_cache or path.parts[0] in _MADE
