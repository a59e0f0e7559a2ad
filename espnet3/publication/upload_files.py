"""Which files of a packed folder are sent: those that packing wrote, and no others."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from espnet3.errors import BundleError
from espnet3.publication import bundle
from espnet3.publication.file_kinds import require_plain
from espnet3.publication.file_selection import LITTER, PRIVATE
from espnet3.publication.path_patterns import PathPatterns
from espnet3.utils.printable import printable

_SHOWN = 10
_LITTER = PathPatterns(LITTER)
_PRIVATE = PathPatterns(PRIVATE)
_OF_THE_HUB = ".gitattributes"


def list_files(
    folder: Path,
    ignored: Sequence[str],
    packed: Container[str] | None = None,
    *,
    section: str,
) -> tuple[tuple[str, int], ...]:
    """Return path and size in bytes of the files that an upload sends.

    Args:
        folder: A bundle, or another packed folder.
        ignored: Patterns of what is not sent.
        packed: Paths that packing wrote; ``None`` where it left no list of them.
        section: Configuration section of the upload, for messages.

    Raises:
        BundleError: If there is a file that was not packed, a link that the Hub client would drop
            or that leads out, or a pipe, socket or device.
    """
    found: list[tuple[str, int]] = []
    strays: list[str] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            _check_link(path, folder)
        require_plain(path, "pack again before the upload")
        if not path.is_file() or _is_ignored(name, ignored):
            continue
        if _is_stray(name, packed):
            strays.append(name)
        elif (packed is not None and name in packed) or not _LITTER.match(name):
            found.append((name, path.stat().st_size))
    _refuse_strays(folder, strays, section)
    return tuple(found)


def packed_names(root: Path) -> frozenset[str]:
    """Return the files that packing wrote into a bundle, as its manifest has it."""
    listed = (name for name, _, _ in bundle.read_manifest(root))
    return frozenset({bundle.MANIFEST_FILE, *listed})


def unlisted_files(root: Path) -> list[str]:
    """Return the files of a bundle that its manifest lacks; what programs leave there is none."""
    listed = packed_names(root)
    names = (p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if p.is_file())
    return [name for name in names if name != _OF_THE_HUB and _is_stray(name, listed)]


def unsent_patterns(
    folder: Path, files: Sequence[tuple[str, int]], ignored: Sequence[str]
) -> list[str]:
    """Return what a client that takes a whole folder has to ignore, so that it sends ``files``.

    The folder is looked at anew: running a demo leaves compiled modules there.

    Args:
        folder: The folder.
        files: What is sent.
        ignored: Patterns that say it in part.
    """
    sent = {name for name, _ in files}
    return [*ignored, *(glob.escape(name) for name in _others(folder, sent, ignored))]


def _others(folder: Path, sent: Container[str], ignored: Sequence[str]) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in sent and not _is_ignored(name, ignored):
            yield name


def _is_ignored(name: str, ignored: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in ignored)


def _is_stray(name: str, packed: Container[str] | None) -> bool:
    if packed is None:
        return _PRIVATE.match(name)
    return name not in packed and not _LITTER.match(name)


def _refuse_strays(folder: Path, strays: Sequence[str], section: str) -> None:
    if not strays:
        return
    more = f" and {len(strays) - _SHOWN} more" if len(strays) > _SHOWN else ""
    raise BundleError(
        f"{folder} holds what was not packed: {printable(', '.join(strays[:_SHOWN]))}{more}\n"
        f"  remove it, or keep it here with {section}.ignore_patterns; only what packing wrote "
        "is published"
    )


def _check_link(path: Path, folder: Path) -> None:
    # The Hub client leaves out linked folders without a word.
    if path.is_dir() or not path.exists() or not bundle.is_member(path, folder):
        raise BundleError(
            f"{path} is a link to a folder, to nothing or to a place outside of {folder}\n"
            "  put the files themselves there, or pack again"
        )
