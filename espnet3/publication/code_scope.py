"""Scoped imports of bundled code: several bundles with a ``src`` of their own in one process.

Python has one table of modules. So the modules of a bundle are in it while that bundle is loaded
or called, and make way when another one with the same names needs their place.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from espnet3.errors import BundleError
from espnet3.utils.printable import printable

logger = logging.getLogger(__name__)

_activated: set[Path] = set()
"""Folders whose modules may be evicted, because this module made them importable."""
_scopes: dict[tuple[Path, tuple[str, ...]], CodeScope] = {}
_turn = threading.Condition()
_mine = threading.local()


class CodeScope:
    """The modules of one bundle.

    Args:
        bundle_root: Folder of the bundle.
        roots: Import roots below it.

    Raises:
        BundleError: If a root is a link that leaves the bundle.
    """

    _current: CodeScope | None = None
    _users = 0

    def __init__(self, bundle_root: Path, roots: Sequence[str]) -> None:
        folders = [bundle_root / root for root in roots if (bundle_root / root).is_dir()]
        for folder in folders:
            if not folder.resolve().is_relative_to(bundle_root.resolve()):
                raise BundleError(f"{folder} is a link that leaves the bundle")
        self._root = bundle_root
        self._folders = folders
        self._set_aside: dict[str, ModuleType] = {}

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Make the bundle's modules the ones that imports find, inside the block.

        Threads that use the same bundle share it; one that needs another bundle waits for them,
        unless it is itself inside the block of a bundle that calls the other one.
        """
        outer = self._enter()
        try:
            yield
        finally:
            self._leave(outer)

    def _enter(self) -> CodeScope | None:
        with _turn:
            depth = getattr(_mine, "depth", 0)
            while CodeScope._current is not self and CodeScope._users and not depth:
                _turn.wait()
            outer = CodeScope._current
            self._take_over()
            CodeScope._users += 1
            _mine.depth = depth + 1
            return outer if depth else None

    def _leave(self, outer: CodeScope | None) -> None:
        with _turn:
            CodeScope._users -= 1
            _mine.depth -= 1
            if outer is not None:
                outer._take_over()
            _turn.notify_all()

    def _take_over(self) -> None:
        previous = CodeScope._current
        if previous is self:
            return
        for folder in self._folders:
            evicted = _forget_colliding_modules(folder)
            if previous is not None:
                previous._set_aside.update(evicted)
            _activated.add(folder.resolve())
        sys.modules.update(self._set_aside)
        self._set_aside.clear()
        entries = [str(self._root), *map(str, self._folders)]
        sys.path[:] = entries + [entry for entry in sys.path if entry not in entries]
        importlib.invalidate_caches()
        for folder in self._folders:
            _bind_package(folder)
        CodeScope._current = self


def activate(bundle_root: Path, roots: Sequence[str]) -> CodeScope:
    """Make the code of a bundle importable, in front of everything else.

    Modules of another recipe or bundle that hold the same names make way, so that the next import
    finds this bundle's own. Modules of the standard library, of installed packages and of the host
    program are never touched.

    Returns:
        The scope to call the bundle's model in.

    Raises:
        BundleError: If a root is a link that leaves the bundle.
    """
    scope = CodeScope(bundle_root, roots)
    # Sessions of one bundle share its modules.
    scope = _scopes.setdefault((bundle_root, tuple(roots)), scope)
    with scope.active():
        return scope


def is_activated(place: Path) -> bool:
    """Tell whether a file, links resolved, is bundled code that :func:`activate` opened up."""
    return any(place.is_relative_to(folder) for folder in _activated)


def _forget_colliding_modules(folder: Path) -> dict[str, ModuleType]:
    """Drop loaded modules whose names a folder offers, as far as they are user code."""
    evicted: dict[str, ModuleType] = {}
    offered = {folder.name, *_module_names(folder)}
    for name in sorted(offered & {name.partition(".")[0] for name in sys.modules}):
        locations = [Path(place).resolve() for place in _locations(sys.modules.get(name))]
        if any(place.is_relative_to(folder.resolve()) for place in locations):
            continue
        if locations and all(_is_user_code(place) for place in locations):
            for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                evicted[loaded] = sys.modules.pop(loaded)
        elif name in sys.modules:
            logger.warning(
                "%s ships a module %r, but the one of this program stays loaded (%s)",
                printable(folder), name, ", ".join(map(printable, locations)) or "built in",
            )  # fmt: skip
    return evicted


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
