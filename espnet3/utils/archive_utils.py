"""The one way archives are unpacked: checked first, then moved into place."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from espnet3.errors import DataError
from espnet3.utils.fingerprint import fingerprint_file
from espnet3.utils.path_utils import write_json
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)

_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_DRIVE = re.compile(r"^[A-Za-z]:")
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, UnicodeDecodeError)


class ArchiveError(DataError, tarfile.TarError):
    """An archive is damaged, or holds something that must not be unpacked."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """How much an archive may hold."""

    members: int = 200_000
    total_bytes: int = 64 * 2**30
    ratio: int = 1000
    """Unpacked bytes per byte of the archive."""


@dataclass(frozen=True)
class _Entry:
    name: str
    size: int
    link: str | None = None
    """Where a link points, relative to the root of the archive."""
    is_folder: bool = False


def safe_extract(
    archive_path: PathLike, dst_dir: PathLike, *, limits: ArchiveLimits | None = None
) -> int:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into a folder.

    Nothing is written before every member has been checked, and files appear in ``dst_dir`` only
    after all of them could be read. Files that are there already are replaced, others stay.
    Permissions become 0644 for files and 0755 for folders.

    Args:
        archive_path: The archive.
        dst_dir: Folder for its content; created when absent.
        limits: How much the archive may hold.

    Returns:
        Number of members.

    Raises:
        FileNotFoundError: If there is no archive.
        ArchiveError: If it is damaged, exceeds the limits, or has a member that would end up
            outside ``dst_dir``, that is a device, or whose name another member takes.
    """
    source, target = Path(archive_path), Path(dst_dir)
    with _open_archive(source) as (entries, unpack):
        _check(source, entries, limits or ArchiveLimits())
        target.mkdir(parents=True, exist_ok=True)
        with _staging(target / f".unpacking-{source.name}") as folder:
            unpack(folder)
            _move_into(folder, target)
    return len(entries)


def extract_archive(archive_path: PathLike, dst_dir: PathLike) -> None:
    """Unpack an archive unless a marker in ``dst_dir`` says that this has been done.

    Raises:
        ArchiveError: As :func:`safe_extract`.
    """
    source, target = Path(archive_path), Path(dst_dir)
    marker = target / f".{source.name}.extracted.json"
    digest = fingerprint_file(source)
    if marker.is_file() and digest in marker.read_text(encoding="utf-8"):
        logger.info("already extracted: %s", source.name)
        return
    logger.info("Extracting: %s", source.name)
    count = safe_extract(source, target)
    write_json(marker, {"archive": source.name, "sha256": digest, "members": count})


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; what a killed process left in it goes first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _open_archive(
    path: Path,
) -> Iterator[tuple[Sequence[_Entry], Callable[[Path], None]]]:
    """Yield the entries of an archive and a function that unpacks them."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield [_zip_entry(path, m) for m in archive.infolist()], archive.extractall
        else:
            with tarfile.open(path) as tar:
                entries = [_tar_entry(path, member) for member in tar.getmembers()]
                yield entries, lambda folder: tar.extractall(folder, filter=_normalise)  # noqa: S202
    except ArchiveError:
        raise
    except _BROKEN as error:
        raise ArchiveError(f"{path} cannot be unpacked: {error}\n  fetch it again") from error


def _tar_entry(path: Path, member: tarfile.TarInfo) -> _Entry:
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        raise ArchiveError(f"{path}: {member.name!r} is neither file, folder nor link")
    link = None
    if member.issym():
        link = str(PurePosixPath(member.name).parent / member.linkname)
    elif member.islnk():
        link = member.linkname
    return _Entry(member.name, member.size, link, member.isdir())


def _zip_entry(path: Path, member: zipfile.ZipInfo) -> _Entry:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"{path}: {member.filename!r} is neither file nor folder")
    return _Entry(member.filename, member.file_size, is_folder=member.is_dir())


def _normalise(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    checked = tarfile.data_filter(member, folder)
    return checked.replace(mode=_FOLDER_MODE if member.isdir() else _FILE_MODE, deep=False)


def _check(path: Path, entries: Sequence[_Entry], limits: ArchiveLimits) -> None:
    total = sum(entry.size for entry in entries)
    allowed = min(limits.total_bytes, limits.ratio * max(path.stat().st_size, 1024))
    if len(entries) > limits.members or total > allowed:
        raise ArchiveError(
            f"{path} holds {len(entries)} members of {total} bytes; "
            f"allowed are {limits.members} members and {allowed} bytes"
        )
    links = {_key(entry.name) for entry in entries if entry.link is not None}
    taken: dict[str, _Entry] = {}
    for entry in entries:
        for place in (entry.name, entry.link):
            if place is not None:
                _check_inside(path, entry.name, place, links)
        other = taken.setdefault(_key(entry.name), entry)
        if other is entry or (entry.is_folder and other.is_folder):
            continue
        if entry.name == other.name:
            raise ArchiveError(f"{path}: {entry.name!r} is in it twice")
        raise ArchiveError(
            f"{path}: {entry.name!r} and {other.name!r} are one file on some systems"
        )


def _key(name: str) -> str:
    """Return a name as file systems without upper and lower case see it."""
    return str(PurePosixPath(name)).casefold()


def _check_inside(path: Path, name: str, place: str, links: Collection[str] = frozenset()) -> None:
    """Raise if a member, or what a link points to, may lie outside of the target folder."""
    if place.startswith(("/", "\\")) or _DRIVE.match(place) or "\0" in place:
        raise ArchiveError(f"{path}: {name!r} leads to the absolute place {place!r}")
    walked: list[str] = []
    for part in PurePosixPath(place.replace("\\", "/")).parts:
        # Behind a link ".." means something else than in the name; chains of links have fooled
        # the check that Python makes while it unpacks.
        if _key("/".join(walked)) in links:
            raise ArchiveError(f"{path}: {name!r} leads through a link, maybe outside the target")
        if part != "..":
            walked.append(part)
        elif walked:
            walked.pop()
        else:
            raise ArchiveError(f"{path}: {name!r} leads outside the target folder")


def _move_into(staging: Path, target: Path) -> None:
    """Move the files of one tree into another, folder by folder."""
    for folder, folders, files in os.walk(staging):
        here = target / Path(folder).relative_to(staging)
        here.mkdir(exist_ok=True)
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in (*files, *links):
            place = here / name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            (Path(folder) / name).replace(place)
