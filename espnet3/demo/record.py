"""What packing wrote into a demo folder: the next packing replaces that and nothing else."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Self

from espnet3.errors import ConfigError
from espnet3.utils.path_utils import atomic_path, is_inside, write_json, write_text

logger = logging.getLogger(__name__)

RECORD_FILE = ".demo_manifest.json"
README_FILE = "README.md"
"""Written where there is none, and from then on its owner's: it is not on the list."""


class PackRecord:
    """Writes into a demo folder and keeps the list of what it wrote.

    At the end of a ``with`` block without an exception, files of the old list that were not written
    again are removed; after an exception the new ones join the list.

    Args:
        folder: The demo folder; made if absent.
        is_linked: Link to files instead of copying them. When this changes, the old files go first:
            a link to a folder and a folder cannot replace each other.
    """

    def __init__(self, folder: Path, *, is_linked: bool = False) -> None:
        self._folder = folder
        self._is_linked = is_linked
        self._old: set[str] = set()
        self.files: set[str] = set()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        known = _read(self._folder)
        if known is not None:
            self._old = set(known[0])
            if known[1] != self._is_linked:
                self._remove_all(self._old)
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if kind is not None:
            self._save(self._old | self.files)
            return
        self._remove_all(self._old - self.files)
        self._save(self.files)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file to a place in the demo, or link to it."""
        place = self._place(name)
        if self._is_linked:
            _link(place, source)
        else:
            with atomic_path(place) as temporary:
                shutil.copyfile(source, temporary)
        self.add(name)

    def write(self, name: str, text: str) -> None:
        """Write a text file."""
        write_text(self._place(name), text)
        self.add(name)

    def add(self, *names: str) -> None:
        """Note files that somebody else wrote."""
        self.files.update(names)

    def _place(self, name: str) -> Path:
        """Return a path of the demo; a link to a folder could lead out of it."""
        path = self._folder / name
        if ".." in path.relative_to(self._folder).parts or not is_inside(path.parent, self._folder):
            raise ConfigError("leaves the demo", file=self._folder, value=name)
        return path

    def _remove_all(self, names: set[str]) -> None:
        for name in sorted(names):
            self._remove(name)

    def _remove(self, name: str) -> None:
        """Remove a file of the old list, and the folders that are empty without it."""
        try:
            path = self._place(name)
        except ValueError:
            logger.warning("%s: %r lies outside of the demo and stays", RECORD_FILE, name)
            return
        if not (path.is_file() or path.is_symlink()):
            return
        path.unlink()
        for parent in path.parents:
            if parent == self._folder or any(parent.iterdir()):
                return
            parent.rmdir()

    def _save(self, files: set[str]) -> None:
        write_json(self._folder / RECORD_FILE, {"files": sorted(files), "linked": self._is_linked})


def read_record(folder: Path) -> frozenset[str] | None:
    """Return the files that packing wrote into a demo folder, ``None`` where it left no list."""
    known = _read(folder)
    return None if known is None else known[0]


def _read(folder: Path) -> tuple[frozenset[str], bool] | None:
    """Return the files of the list, and whether they are links."""
    try:
        content = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        names = content["files"]
        return frozenset(map(str, names if isinstance(names, list) else ())), bool(
            content.get("linked")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _link(place: Path, source: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(source.absolute())
    temporary.replace(place)
