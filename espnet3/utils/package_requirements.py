"""Which packages espnet3 needs, in which versions, and which extra installs them.

The one place that says so is the project's metadata: ``pyproject.toml`` beside the package in a
checkout, else what the installer recorded.
"""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
import operator
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import espnet3

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(?P<options>\[[^\]]*\])?\s*\(?(?P<bounds>[^;)]*)\)?\s*"
    r"(?:;.*\bextra\s*==\s*['\"](?P<extra>[\w-]+)['\"].*)?"
)
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([\w.]+)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq,
    "!=": operator.ne, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_MODULES = {"hydra-core": "hydra", "pyyaml": "yaml", "espnet": "espnet2"}
"""Import names that are not the distribution's name."""
_PROVIDED = {"[distributed]": ("distributed",)}
"""Further import names that the extras of a package bring."""
MALICIOUS: dict[str, frozenset[str]] = {"lightning": frozenset({"2.6.2", "2.6.3"})}
"""Releases that stole secrets, by distribution."""


@dataclass(frozen=True)
class Requirement:
    """A package that espnet3 uses."""

    distribution: str
    bounds: str
    """As in ``pyproject.toml``, for example ``>=2.6,!=2.6.2``."""
    extra: str | None
    """Extra that installs it; ``None`` for what every installation has."""
    options: str = ""
    """Extras of its own, in brackets."""

    @property
    def module(self) -> str:
        """Import name."""
        name = self.distribution.lower()
        return _MODULES.get(name, name.replace("-", "_"))

    def admits(self, version: str) -> bool:
        """Tell whether a version is within the bounds; suffixes such as ``rc1`` do not count."""
        found = _release(version)
        for symbol, bound in _BOUND.findall(self.bounds):
            wanted = _release(bound)
            pairs = list(itertools.zip_longest(found, wanted, fillvalue=0))
            if not _COMPARE[symbol](tuple(a for a, _ in pairs), tuple(b for _, b in pairs)):
                return False
        return True

    def install_command(self) -> str:
        """Return the command that installs it."""
        if self.extra is not None:
            return install_command([self.extra])
        return f'pip install "{self.distribution}{self.options}{self.bounds}"'


def install_command(extras: Iterable[str]) -> str:
    """Return the command that installs espnet3 with some extras."""
    return f'pip install "espnet3[{",".join(sorted(set(extras)))}]"'


@functools.cache
def read_requirements() -> dict[str, Requirement]:
    """Return all requirements by import name; core ones win over those of an extra.

    Development tools are left out.
    """
    found: dict[str, Requirement] = {}
    for text in _requirement_texts():
        match = _REQUIREMENT.fullmatch(text.strip())
        if match is None or match["extra"] in ("dev", "docs"):
            continue
        bounds, options = match["bounds"].strip(), match["options"] or ""
        item = Requirement(match["name"], bounds, match["extra"], options)
        for module in (item.module, *_PROVIDED.get(options, ())):
            if module not in found or item.extra is None:
                found[module] = item
    return found


def _requirement_texts() -> list[str]:
    path = Path(espnet3.__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"] if path.is_file() else {}
    if project.get("name") == "espnet3":
        extras = project["optional-dependencies"]
        marked = [f'{text}; extra == "{name}"' for name in extras for text in extras[name]]
        return [*project["dependencies"], *marked]
    return importlib.metadata.requires("espnet3") or []


def _release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version."""
    numbers = re.match(r"\d+(?:\.\d+)*", version.partition("+")[0])
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
