"""The content of a demo while it is being planned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet3.demo.bundle_copy import check_trust, iter_bundle_files
from espnet3.demo.settings import PLAIN_KINDS, DemoSettings, FileEntry
from espnet3.errors import ConfigError, MissingFileError
from espnet3.publication.file_kinds import require_plain
from espnet3.publication.file_selection import Selection
from espnet3.publication.hub import is_hub_tag
from espnet3.publication.path_patterns import PathPatterns
from espnet3.publication.user_code import DEFAULT_ROOTS, find_references
from espnet3.utils.path_utils import is_inside

MODEL_DIR = "model"


class DemoDraft:
    """Collects the files of a demo.

    Args:
        out_dir: Folder of the packed demo.
        settings: What the demo configuration says.
        root: Recipe directory, if there is one.
    """

    def __init__(self, out_dir: Path, settings: DemoSettings, root: Path | None) -> None:
        self._out_dir = out_dir
        self._settings = settings
        self._root = root
        self.selection = Selection(
            exclude=PathPatterns(settings.pack.exclude or ()), bundle_dir=out_dir
        )
        self.copies: dict[str, Path] = {}

    def add_files(self) -> None:
        """Add what ``pack.files`` lists."""
        for index, entry in enumerate(self._settings.pack.files or ()):
            key = f"pack.files[{index}]"
            given = entry if isinstance(entry, FileEntry) else FileEntry(src=entry)
            source = self._find(given.src, key)
            destination = given.dst or self.destination(given.src)
            self._check(given.src, source, destination, key)
            self._copy(source, destination.as_posix(), key)

    def add_model(self, output_fn: str | None) -> str:
        """Add a packed model in a folder; return what the packed demo calls it."""
        tag = str(self._settings.model.dir_or_tag)
        source = next((path for path in self._places(Path(tag)) if path.is_dir()), None)
        if source is None:
            if is_hub_tag(tag):
                return tag
            raise MissingFileError(
                "no such folder",
                key="model.dir_or_tag",
                value=tag,
                hint="run the stage pack_model first, or give a Hub id owner/name@revision",
            )
        is_trusted = self._settings.model.trust_user_code
        check_trust(source, is_trusted=is_trusted, output_fn=output_fn)
        if not self._settings.pack.copy:
            # A bundle may hold no links that lead out of it, so the folder is linked as one.
            self.copies[MODEL_DIR] = source
            return MODEL_DIR
        for name, path in iter_bundle_files(source):
            self._add(path, f"{MODEL_DIR}/{name}", "model.dir_or_tag")
        return MODEL_DIR

    def add_user_code(self, configs: Mapping[str, Any]) -> None:
        """Add the recipe's ``src`` if a configuration names something in it."""
        for key, path in find_references(configs, DEFAULT_ROOTS):
            for name in DEFAULT_ROOTS:
                if any(destination.startswith(f"{name}/") for destination in self.copies):
                    continue
                folder = next((p for p in self._places(Path(name)) if p.is_dir()), None)
                if folder is None:
                    raise MissingFileError(
                        f"needs a folder {name} in the recipe", key=key, value=path
                    )
                self._copy(folder, name, key)

    def add_file(self, source: Path) -> str:
        """Add one file that the model reads; return where it goes."""
        for destination, known in self.copies.items():
            if known == source:
                return destination
        return self._take(source, self.destination(source))

    def add_examples(self, inputs: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """Add the files among ``pack.examples``; return for each example a value per input.

        Args:
            inputs: Components of the page that the user fills.

        Raises:
            ConfigError: If an example does not fit them.
            MissingFileError: If a file does not exist.
        """
        examples: list[list[Any]] = []
        for index, entry in enumerate(self._settings.pack.examples or ()):
            key = f"pack.examples[{index}]"
            values = entry if isinstance(entry, list | tuple) else [entry]
            if len(values) != len(inputs):
                names = ", ".join(str(component.get("name")) for component in inputs)
                message = f"must have a value for each input of the page: {names or 'none'}"
                raise ConfigError(message, key=key, value=entry)
            examples.append(
                [
                    self._add_example(value, str(component.get("type")).lower(), key)
                    for value, component in zip(values, inputs, strict=True)
                ]
            )
        return examples

    def _add_example(self, value: Any, kind: str, key: str) -> Any:
        if kind in PLAIN_KINDS:
            return value
        source = self._find(Path(str(value)), key)
        require_plain(source, "name a file")
        if not source.is_file():
            raise ConfigError("is a folder", key=key, value=value)
        return self._take(source, Path("examples", source.name))

    def _take(self, source: Path, place: Path) -> str:
        """Add a file in a place, or under a numbered name beside it."""
        numbered = (place.with_stem(f"{place.stem}-{number}") for number in itertools.count(2))
        destination = next(
            path.as_posix()
            for path in itertools.chain([place], numbered)
            if self.copies.get(path.as_posix(), source) == source
        )
        self.copies[destination] = source
        return destination

    def destination(self, source: Path) -> Path:
        """Return where a file goes that has no place of its own."""
        if not source.is_absolute():
            return source
        bases = [base for base in (self._root, Path.cwd()) if base is not None]
        below = (source.relative_to(base) for base in bases if source.is_relative_to(base))
        return next(below, Path(source.name))

    def _copy(self, source: Path, destination: str, key: str) -> None:
        for path, place in self.selection.iter_files(source, destination):
            self._add(path, place, key)

    def _add(self, source: Path, place: str, key: str) -> None:
        known = self.copies.setdefault(place, source)
        if known != source and not known.samefile(source):
            raise ConfigError(f"would replace {known} in the demo, as both become {place}",
                              key=key, value=str(source),
                              hint="give one a place of its own with src and dst")  # fmt: skip

    def _places(self, path: Path) -> Iterator[Path]:
        for base in (self._root, Path.cwd()):
            if base is not None:
                yield (base / path).absolute()

    def _find(self, path: Path, key: str) -> Path:
        found = next((place for place in self._places(path) if place.exists()), None)
        if found is None:
            raise MissingFileError("no such file or folder", key=key, value=str(path))
        return found

    def _check(self, given: Path, source: Path, destination: Path, key: str) -> None:
        is_self = given in (Path(), Path("..")) or is_inside(self._out_dir, source)
        if is_self or source.resolve() == self._out_dir.resolve():
            raise ConfigError(
                "holds the demo itself",
                key=key,
                value=str(given),
                hint="list the files and folders that it needs",
            )
        if destination.is_absolute() or ".." in destination.parts:
            raise ConfigError("leaves the demo", key=key, value=str(destination),
                              hint="give it a place with src and dst")  # fmt: skip
