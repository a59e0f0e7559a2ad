"""Which files of a folder go into a bundle."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from espnet3.publication.bundle import is_own_bundle
from espnet3.publication.file_kinds import require_plain
from espnet3.publication.path_patterns import PathPatterns
from espnet3.utils.stage_report import report_paths

logger = logging.getLogger(__name__)

LITTER = ("__pycache__", "*.pyc", ".ipynb_checkpoints", ".DS_Store")
"""What programs leave in the folders that they work in."""
PRIVATE = (".env*", ".netrc", "*.pem", "id_rsa*", ".ssh", ".aws")
"""Names under which people keep secrets."""
ALWAYS_SKIPPED = (*LITTER, *PRIVATE, ".git", ".venv", ".pixi", ".*.lock")
STAGE_REPORTS = ("*.run.json", "**/*.config/*_config.yaml", "*.upload.json")
"""What stages write beside their logs and outputs: host, command line, snapshots, receipts."""
DECODING_OUTPUT = ("decode", "decode_*", "decode_dir")
"""Names that hold decoding output when they lie in an experiment folder."""
PACKING_ADVICE = "remove it, or keep it out with `exclude`"
DEMO_RECORD = ".demo_manifest.json"
"""What marks a folder as a packed demo."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is left out while copying.

    Args:
        exclude: Patterns of the user, matched from the copied folder and from the bundle root.
        bundle_dir: The bundle folder itself, and through it leftovers of a killed packing.
        inference_dir: Configured output of ``infer``; left out of experiment folders.
    """

    exclude: PathPatterns
    bundle_dir: Path
    inference_dir: Path | None = None

    def iter_files(
        self, source: Path, destination: str, *, is_experiment: bool = False
    ) -> Iterator[tuple[Path, str]]:
        """Yield ``(file, bundle path)`` below a file or folder, in sorted order.

        Links are followed for content but keep their names; a broken link or a cycle of links is
        reported and left out.

        Raises:
            BundleError: If there is a pipe, a socket or a device.
        """
        if source.is_dir():
            yield from self._walk(source, PurePosixPath(), destination, is_experiment, ())
        elif not self._is_skipped(PurePosixPath(source.name), destination):
            require_plain(source, PACKING_ADVICE)
            yield source, destination
        elif _PRIVATE.match(source.name):
            logger.warning("left out of the bundle: %s is named like a secret", source)

    def _walk(
        self,
        folder: Path,
        inner: PurePosixPath,
        top: str,
        is_experiment: bool,
        parents: tuple[str, ...],
    ) -> Iterator[tuple[Path, str]]:
        real = os.path.realpath(folder)
        if real in parents:
            logger.warning("left out of the bundle: %s is a cycle of links", folder)
            return
        for entry in sorted(folder.iterdir()):
            relative = inner / entry.name
            destination = str(PurePosixPath(top) / relative)
            if self._is_skipped(relative, destination) or self._is_own(entry):
                continue
            if is_experiment and (self._is_decoding_output(entry) or _was_packed(entry)):
                continue
            if _is_stage_log(entry, is_experiment=is_experiment):
                continue
            if entry.is_dir():
                yield from self._walk(entry, relative, top, is_experiment, (*parents, real))
            elif entry.is_file():
                yield entry, destination
            else:
                require_plain(entry, PACKING_ADVICE)
                logger.warning("left out of the bundle: %s is a broken link", entry)

    def _is_skipped(self, relative: PurePosixPath, destination: str) -> bool:
        # All of them, so that it is known which patterns are used.
        return any(
            [
                self.exclude.match(relative),
                self.exclude.match(destination),
                _NEVER.match(relative),
            ]
        )

    def report_unused(self, key: str) -> None:
        """Log which patterns left nothing out; one that resembles a name is likely misspelt."""
        for pattern, hint in sorted(self.exclude.describe_unused()):
            level = logging.INFO if hint is None else logging.WARNING
            note = "" if hint is None else f"\n  {hint}"
            logger.log(level, "%s: %r leaves nothing out%s", key, pattern, note)

    def _is_own(self, entry: Path) -> bool:
        own = self.bundle_dir
        kinds = ("partial-", "retired-", "lock", "pack.json")
        leftovers = tuple(f".{own.name}.{kind}" for kind in kinds)
        names = (own.name, f"{own.name}.zip")
        if entry.name not in names and not entry.name.startswith(leftovers):
            return False
        is_same = os.path.realpath(entry.parent) == os.path.realpath(own.parent)
        return is_same or os.path.realpath(entry) == os.path.realpath(own)

    def _is_decoding_output(self, entry: Path) -> bool:
        if _DECODING.match(entry.name) or _holds_test_sets(entry):
            return True
        target = self.inference_dir
        return target is not None and os.path.realpath(entry) == os.path.realpath(target)


def _holds_test_sets(folder: Path) -> bool:
    """Tell whether ``infer`` wrote into a folder: it marks each test set."""
    return any(next(folder.glob(mark), None) for mark in (".infer", "*/.infer"))


def _is_stage_log(entry: Path, *, is_experiment: bool) -> bool:
    """Tell whether a file is the log of a stage, which tells much about the machine it ran on."""
    return entry.suffix == ".log" and (is_experiment or report_paths(entry)[0].exists())


def _was_packed(entry: Path) -> bool:
    """Tell whether an entry is a packed demo or model, or lies beside such a model for it."""
    if entry.is_dir():
        return (entry / DEMO_RECORD).is_file() or is_own_bundle(entry)
    packed = entry.name.removeprefix(".").removesuffix(".pack.json").removesuffix(".zip")
    return packed not in ("", entry.name) and is_own_bundle(entry.with_name(packed))


_NEVER = PathPatterns([*ALWAYS_SKIPPED, *STAGE_REPORTS])
_PRIVATE = PathPatterns(PRIVATE)
_DECODING = PathPatterns(DECODING_OUTPUT)
