"""The packages that a demo was made with, each in its version."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator

import espnet3
from espnet3.utils.package_requirements import read_requirements

_NAME = re.compile(r"\s*(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[^\]]*)\])?")
_EXTRA = re.compile(r"\bextra\s*==\s*['\"]([\w.-]+)['\"]")


def pin_requirements(extras: Iterable[str] = ("demo",)) -> list[str]:
    """Return the lines of a ``requirements.txt`` that repeats this environment.

    They are espnet3 itself, and every package that it and the extras need, directly or not, as far
    as it is installed here. Suffixes of local builds such as ``+cpu`` are left out.

    Args:
        extras: Extras of espnet3 to include.
    """
    wanted = sorted(set(extras))
    start = [
        f"{item.distribution}{item.options}"
        for item in read_requirements().values()
        if item.extra is None or item.extra in wanted
    ]
    pinned: dict[str, str] = {}
    _collect(start, pinned, set())
    own = f"espnet3[{','.join(wanted)}]=={espnet3.__version__}"
    return [own, *(f"{name}=={pinned[name]}" for name in sorted(pinned))]


def installed_gradio() -> str | None:
    """Return the version of Gradio, ``None`` when it is not installed."""
    try:
        return importlib.metadata.version("gradio")
    except importlib.metadata.PackageNotFoundError:
        return None


def _collect(texts: Iterable[str], pinned: dict[str, str], seen: set[tuple[str, str]]) -> None:
    for text in texts:
        match = _NAME.match(text)
        if match is None:
            continue
        name, extras = _normalize(match["name"]), match["extras"] or ""
        if (name, extras) in seen or name == "espnet3":
            continue
        seen.add((name, extras))
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            # What the markers of another system ask for, or an optional part, is not here.
            continue
        pinned[name] = found.version.partition("+")[0]
        chosen = {part.strip().lower() for part in extras.split(",")}
        _collect(_applicable(found.requires or (), chosen), pinned, seen)


def _applicable(requirements: Iterable[str], extras: set[str]) -> Iterator[str]:
    for text in requirements:
        named = _EXTRA.search(text)
        if named is None or named[1].lower() in extras:
            yield text


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
