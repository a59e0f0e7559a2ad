"""The packages that a demo was made with, each in its version."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator

import espnet3
from espnet3.demo.pack_draft import MODEL_DIR
from espnet3.demo.pack_plan import DemoPlan
from espnet3.publication.bundle import INFERENCE_CONFIG
from espnet3.publication.needed_extras import extras_of_bundle, extras_of_model
from espnet3.publication.yaml_links import iter_strings
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


def needs_of_model(plan: DemoPlan) -> tuple[str, ...]:
    """Return the extras of espnet3 without which the model of a demo cannot be built.

    What a model on the Hub needs is not known before it is fetched.
    """
    if plan.infer_config is not None:
        model = plan.infer_config.get("model")
        texts = {text.removeprefix("${recipe_dir}/") for _, text in iter_strings(model)}
        named = [source for place, source in plan.copies.items() if place in texts]
        return extras_of_model(model, named)
    inner = plan.copies.get(f"{MODEL_DIR}/{INFERENCE_CONFIG}")
    root = plan.copies.get(MODEL_DIR) if inner is None else inner.parents[1]
    return () if root is None else extras_of_bundle(root)


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
