"""The content of a bundle while it is being planned."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from espnet3.errors import BundleError, did_you_mean
from espnet3.publication.file_kinds import require_plain
from espnet3.publication.file_selection import PACKING_ADVICE, Selection
from espnet3.publication.pack_inputs import PackInputs
from espnet3.publication.packed_weights import CHECKPOINT_SUFFIXES, WeightSource
from espnet3.publication.path_rewrite import Relocator

_COMPARED = 5000
"""Files whose kinds a glob is compared with."""
_COMPOUND_SUFFIXES = frozenset({".tar.gz", ".tar.bz2", ".tar.xz"})


def suffix_of(source: Path) -> str:
    """Return the suffix of a registered file: the last one, or a known compound one."""
    if source.is_dir():
        return ""
    compound = "".join(source.suffixes[-2:])
    return compound if compound in _COMPOUND_SUFFIXES else source.suffix


def suggest_neighbour(path: Path) -> str:
    """Return ``(did you mean "x"?)`` for an absent path beside one of a similar name."""
    folder = next(place for place in path.parents if place.is_dir())
    if "*" in path.name:
        below = itertools.islice(folder.rglob("*"), _COMPARED)
        hint = did_you_mean(path.name, sorted({f"*{entry.suffix}" for entry in below} - {"*"}))
    else:
        # The first name that is wrong, be it one on the way.
        names = sorted(entry.name for entry in folder.iterdir())
        hint = did_you_mean(path.relative_to(folder).parts[0], names)
    return f" ({hint})" if hint else ""


@dataclass(kw_only=True)
class PlanDraft:
    """A plan in the making."""

    inputs: PackInputs
    selection: Selection
    copies: dict[str, Path] = field(default_factory=dict)
    checkpoints: dict[str, Path] = field(default_factory=dict)
    moved: dict[Path, str] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    absent: list[tuple[str, Path]] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    """Listed and registered files and folders, which ``out_dir`` must not hold."""
    files: dict[str, str] = field(default_factory=dict)
    """Registered artifacts: name → bundle path."""
    yaml_files: dict[str, str] = field(default_factory=dict)
    weights: tuple[WeightSource, ...] = ()

    def add(self, source: Path, destination: str) -> None:
        """Add a file.

        Raises:
            BundleError: If another one would take its place, or it is a pipe, socket or device.
        """
        require_plain(source, PACKING_ADVICE)
        known = self.copies.setdefault(destination, source)
        if known != source and not known.samefile(source):
            raise BundleError(
                f"{known} and {source} would both be packed as {destination}\n"
                "  rename one of them, or list it under publication_config.pack_model.files"
            )

    def add_tree(self, source: Path, destination: str, *, is_experiment: bool = False) -> None:
        """Add a file or folder; checkpoints of an experiment are left to the weights export."""
        found = self.selection.iter_files(source, destination, is_experiment=is_experiment)
        for file, place in found:
            if is_experiment and file.suffix in CHECKPOINT_SUFFIXES:
                self.checkpoints[place] = file
            else:
                self.add(file, place)

    def add_referenced(self, source: Path) -> None:
        """Add a file or folder that a config names, in its place in the recipe or in ``files``."""
        destination = self.relocator.destination(source)
        if destination is None:
            destination = f"files/{source.name}"
            self.moved[source] = destination
        self.add_tree(source, destination)

    @property
    def relocator(self) -> Relocator:
        """How paths are rewritten, as far as is known yet."""
        return Relocator(recipe_root=self.inputs.recipe_root, moved=self.moved)
