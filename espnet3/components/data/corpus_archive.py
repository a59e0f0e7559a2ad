"""Find the archive of a corpus on this machine, or download it."""

from __future__ import annotations

import logging
from pathlib import Path

from espnet3.errors import MissingFileError
from espnet3.utils.download_utils import DownloadError, download_url

logger = logging.getLogger(__name__)


def provide_archive(
    archive_path: Path | None, default_path: Path, url: str | None, *, sha256: str | None = None
) -> Path:
    """Return the archive from which a dataset builder makes its data.

    Args:
        archive_path: What ``create_dataset.archive_path`` says; nothing is downloaded if it is set.
        default_path: Where the archive lies otherwise, and where it is downloaded to.
        url: Where it is downloaded from if it is not there; ``None`` downloads nothing.
        sha256: Checksum of the download.

    Raises:
        MissingFileError: If ``archive_path``, or ``default_path`` without ``url``, does not exist.
        DownloadError: If the server cannot be reached.
        DataError: If the download is not the expected file.
    """
    archive = archive_path or default_path
    if archive.is_file():
        return archive
    if archive_path is not None or url is None:
        raise MissingFileError(
            "no such file",
            key="create_dataset.archive_path",
            value=str(archive),
            hint="give the path of the archive, or null and the address to download it from",
        )
    try:
        download_url(url, archive, logger=logger, sha256=sha256)
    except DownloadError as error:
        error.add_note(
            f"  get the file in another way and store it as {archive}, or name it with"
            " --set training.create_dataset.archive_path=<file>"
        )
        raise
    return archive
