"""The decision to run Python code that comes with a bundle, and its scoped import."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from espnet3.errors import BundleError, UntrustedCodeError
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.yaml_links import iter_strings, linked_files

logger = logging.getLogger(__name__)

DEFAULT_ROOTS = ("src",)
_activated: set[Path] = set()
"""Folders whose modules may be evicted, because this module made them importable."""


def choose_import_roots(argument: Sequence[str] | None, metadata: Any) -> tuple[str, ...]:
    """Return the import roots of a bundle, as relative POSIX paths.

    Args:
        argument: What the caller asked for; wins.
        metadata: ``user_code_paths`` of ``meta.yaml``: a string, a list or ``None``.

    Raises:
        UntrustedCodeError: If a root is absolute or climbs out of the bundle.
    """
    chosen = argument if argument is not None else metadata
    if chosen is None:
        return DEFAULT_ROOTS
    is_list = isinstance(chosen, list | tuple)
    names = tuple(chosen) if is_list else (chosen,)
    for name in names:
        path = PurePosixPath(name) if isinstance(name, str) else None
        if path is None or path.is_absolute() or ".." in path.parts or not path.parts:
            raise UntrustedCodeError(
                f"user_code_paths: {name!r} must be a relative path inside the bundle"
            )
    return names


def find_references(config: Mapping[str, Any], roots: Sequence[str]) -> list[tuple[str, str]]:
    """Return ``(key, dotted path)`` of every value that names code below an import root."""
    names = {PurePosixPath(root).name for root in roots}
    return [(key, text) for key, text in iter_strings(config) if is_reference(text, names)]


def find_linked_references(
    config: Mapping[str, Any], bundle_root: Path, roots: Sequence[str]
) -> list[tuple[str, str]]:
    """Return what :func:`find_references` finds, also where ``model`` names a training config.

    A recogniser builds the model that such a file describes, so its section ``model`` counts.
    """
    found = find_references(config, roots)
    for path in sorted(linked_files({"model": config.get("model")}, bundle_root, bundle_root)):
        described = (read_mapping(path) or {}).get("model")
        found += find_references({"model": described}, roots)
    return found


def is_reference(text: str, names: set[str]) -> bool:
    """Tell whether a string is a dotted path that starts with one of ``names``."""
    first, _, rest = text.partition(".")
    return first in names and all(part.isidentifier() for part in rest.split("."))


def decide(
    references: Sequence[tuple[str, str]], *, enable: bool | None, trust: bool, source: str
) -> bool:
    """Decide whether bundled code is made importable.

    Args:
        references: What the config refers to, from :func:`find_references`.
        enable: ``True`` asks for it, ``None`` decides by the references.
        trust: The user vouches for the code.
        source: Where the code comes from, for the message.

    Raises:
        UntrustedCodeError: If it is asked for, or needed, without trust.
    """
    if enable and not trust:
        raise UntrustedCodeError(
            f"enable_user_code=True requires trust_user_code=True\n"
            f"  read the code in {source} first; it can do anything on this machine"
        )
    if references and not trust:
        key, path = references[0]
        raise untrusted_reference(path, key=key, source=source)
    if enable is None:
        return bool(references)
    return enable


def untrusted_reference(path: str, *, key: str | None, source: str) -> UntrustedCodeError:
    """Return the error for a config that needs bundled code which nobody vouched for."""
    return UntrustedCodeError(
        f"{source} references bundled user code: {key} = {path!r}\n"
        "  read the code, then allow it with trust_user_code=True"
    )


def activate(bundle_root: Path, roots: Sequence[str]) -> None:
    """Make the code of a bundle importable, in front of everything else.

    Modules of another recipe or bundle that hold the same names are forgotten, so that the next
    import finds this bundle's own. Modules of the standard library, of installed packages and of
    the host program are never touched.

    Raises:
        BundleError: If a root is a link that leaves the bundle.
    """
    folders = [bundle_root / root for root in roots if (bundle_root / root).is_dir()]
    for folder in folders:
        if not folder.resolve().is_relative_to(bundle_root.resolve()):
            raise BundleError(f"{folder} is a link that leaves the bundle")
    for folder in folders:
        _forget_colliding_modules(folder)
        _activated.add(folder.resolve())
    entries = [str(bundle_root), *map(str, folders)]
    sys.path[:] = entries + [entry for entry in sys.path if entry not in entries]
    importlib.invalidate_caches()
    for folder in folders:
        _bind_package(folder)


def is_activated(place: Path) -> bool:
    """Tell whether a file, links resolved, is bundled code that :func:`activate` opened up."""
    return any(place.is_relative_to(folder) for folder in _activated)


def _forget_colliding_modules(folder: Path) -> None:
    offered = {folder.name, *_module_names(folder)}
    for name in sorted(offered & {name.partition(".")[0] for name in sys.modules}):
        locations = [Path(place).resolve() for place in _locations(sys.modules.get(name))]
        if any(place.is_relative_to(folder.resolve()) for place in locations):
            continue
        if locations and all(_is_user_code(place) for place in locations):
            for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[loaded]
        elif name in sys.modules:
            logger.warning(
                "%s ships a module %r, but the one of this program stays loaded (%s)",
                folder, name, ", ".join(map(str, locations)) or "built in",
            )  # fmt: skip


def _module_names(folder: Path) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.suffix == ".py" and entry.stem != "__init__":
            yield entry.stem
        elif entry.is_dir() and any(entry.glob("*.py")):
            yield entry.name


def _locations(module: ModuleType | None) -> list[str]:
    """Return the file of a module, or the folders of a package without ``__init__.py``."""
    file = getattr(module, "__file__", None)
    if file:
        return [file]
    return list(getattr(module, "__path__", ()))


def _is_user_code(place: Path) -> bool:
    """Tell whether a file lies in an import root of ours, or in the ``src`` of a recipe."""
    if is_activated(place):
        return True
    package = place if place.is_dir() else place.parent
    recipe = package.parent
    return (recipe / "meta.yaml").is_file() or (recipe / "conf").is_dir()


def _bind_package(folder: Path) -> None:
    """Bind a root without ``__init__.py`` to its folder.

    Left to the import system, a regular package of the same name later on ``sys.path`` would win,
    and folders of that name elsewhere would be merged into it.
    """
    known = sys.modules.get(folder.name)
    if known is not None or not folder.name.isidentifier() or (folder / "__init__.py").is_file():
        return
    spec = importlib.util.spec_from_loader(folder.name, loader=None, is_package=True)
    assert spec is not None
    spec.submodule_search_locations = [os.fspath(folder)]
    sys.modules[folder.name] = importlib.util.module_from_spec(spec)
