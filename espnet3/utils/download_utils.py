"""Downloads that resume, are checked, and never leave half a file under the final name."""

from __future__ import annotations

import http.client
import logging
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from espnet3.errors import ConfigError, DataError
from espnet3.utils.archive_utils import ArchiveError, extract_archive, safe_extract
from espnet3.utils.fingerprint import fingerprint_file
from espnet3.utils.lock_utils import file_lock
from espnet3.utils.redaction import redact_text
from espnet3.utils.types import PathLike, Seconds

_logger = logging.getLogger(__name__)

_BLOCK = 1 << 18
_SCHEMES = ("https", "http", "file")
_pause = time.sleep
_INTERRUPTIONS = (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException)


class DownloadError(DataError, urllib.error.URLError):
    """A file cannot be downloaded."""

    __str__ = Exception.__str__


def setup_logger(
    name: str, log_dir: PathLike | None = None, level: int = logging.INFO
) -> logging.Logger:
    """Return a logger of its own for a data preparation script.

    Args:
        name: Name of the logger.
        log_dir: Folder for ``download.log``; ``None`` for the console only.
        level: Level of the logger.
    """
    logger = logging.getLogger(name)
    logger.setLevel(level)
    logger.propagate = False
    if not any(type(h) is logging.StreamHandler for h in logger.handlers):
        _add_handler(logger, logging.StreamHandler(sys.stderr))
    if log_dir is not None:
        path = Path(log_dir).absolute() / "download.log"
        files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
        if all(Path(h.baseFilename) != path for h in files):
            path.parent.mkdir(parents=True, exist_ok=True)
            _add_handler(logger, logging.FileHandler(path, encoding="utf-8"))
    return logger


class DownloadProgress:
    """Log the share that is done each time it enters a new bucket.

    Args:
        logger: Where to log, at INFO.
        name: What is downloaded.
        step_percent: Width of a bucket.
    """

    def __init__(self, logger: logging.Logger, name: str, step_percent: int = 5) -> None:
        self._logger = logger
        self._name = name
        self._step = step_percent
        self._bucket = -1

    def __call__(self, block_num: int, block_size: int, total_size: int) -> None:
        """Note that ``block_num`` blocks have arrived; an unknown total (≤ 0) logs nothing."""
        if total_size <= 0:
            return
        percent = min(100, block_num * block_size * 100 // total_size)
        bucket = percent // self._step
        if bucket > self._bucket:
            self._bucket = bucket
            self._logger.info("Downloading %s: %d%%", self._name, percent)


def download_url(
    url: str,
    dst_path: PathLike,
    logger: logging.Logger | None = None,
    step_percent: int = 5,
    *,
    sha256: str | None = None,
    size: int | None = None,
    timeout: Seconds = 60.0,
    retries: int = 4,
) -> None:
    """Download a file.

    The bytes go to ``<dst_path>.part``, which the next call continues where the server allows it,
    and get the final name when they are complete and checked. A file that is there already is kept
    if ``sha256`` confirms it. Two processes do not download the same file.

    Args:
        url: ``https``, ``http`` or ``file`` address.
        dst_path: Where to store the file.
        logger: Where to log progress, at INFO.
        step_percent: How often to log.
        sha256: Expected digest, as hex.
        size: Expected size in bytes.
        timeout: How long the server may be silent.
        retries: How often to go on after an interruption, waiting 1, 2, 4, … seconds before.

    Raises:
        ConfigError: If the scheme of ``url`` is another one.
        DownloadError: If the server cannot be reached or refuses.
        DataError: If the file is not the expected one; it is removed.
    """
    log, target = logger or _logger, Path(dst_path)
    if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
        raise ConfigError(f"must start with {', '.join(_SCHEMES)}", key="url", value=url)
    part = target.with_name(f"{target.name}.part")
    with file_lock(target.with_name(f".{target.name}.lock")):
        if sha256 and target.is_file() and fingerprint_file(target) == sha256.lower():
            log.info("already downloaded: %s", target)
            return
        log.info("Start download: %s", target.name)
        log.info("Target directory: %s", target.parent)
        progress = DownloadProgress(log, target.name, step_percent)
        _fetch(url, part, progress, timeout, retries, log)
        _verify(part, url, sha256, size)
        part.replace(target)
        _validator_path(part).unlink(missing_ok=True)
    log.info("Download completed: %s", target.name)


def extract_targz(
    archive_path: PathLike, dst_dir: PathLike, logger: logging.Logger | None = None
) -> None:
    """Unpack a gzip-compressed tar archive into a folder.

    Raises:
        tarfile.TarError: If the archive is damaged or would write outside ``dst_dir``.
    """
    (logger or _logger).info("Extracting: %s", Path(archive_path).name)
    safe_extract(archive_path, dst_dir)


def _fetch(
    url: str,
    part: Path,
    progress: DownloadProgress,
    timeout: Seconds,
    retries: int,
    log: logging.Logger,
) -> None:
    for attempt in range(retries + 1):
        try:
            _fetch_once(url, part, progress, timeout)
            return
        except _INTERRUPTIONS as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if refused or attempt == retries:
                shown = redact_text(url)
                raise DownloadError(f"{shown} cannot be downloaded: {error}") from error
            log.warning("interrupted: %s; going on in %d s", error, 2**attempt)
            _pause(2**attempt)


def _fetch_once(url: str, part: Path, progress: DownloadProgress, timeout: Seconds) -> None:
    """Append to the partial file what is missing; start anew where that cannot be done."""
    request = urllib.request.Request(url)  # noqa: S310 - the scheme was checked
    have = part.stat().st_size if part.is_file() else 0
    validator = _read_validator(part)
    # Without a validator the file may have changed meanwhile, and the halves would not fit.
    if have and validator:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            if not resumed:
                have = 0
                _write_validator(part, response.headers)
            length = int(response.headers.get("Content-Length") or 0)
            total = have + length if length else 0
            with part.open("ab" if resumed else "wb") as stream:
                received = _copy(response, stream, have, total, progress)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise ConnectionError("the server does not know the part that is missing") from error
        raise
    if total and received != total:
        raise ConnectionError(f"{received} of {total} bytes arrived")


def _copy(
    source: IO[bytes], sink: IO[bytes], have: int, total: int, progress: DownloadProgress
) -> int:
    while block := source.read(_BLOCK):
        sink.write(block)
        have += len(block)
        progress(have, 1, total)
    return have


def _validator_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _read_validator(part: Path) -> str:
    path = _validator_path(part)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _write_validator(part: Path, headers: http.client.HTTPMessage) -> None:
    etag = headers.get("ETag", "")
    value = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    # The old part must not be continued under the new validator, should we die right here.
    part.unlink(missing_ok=True)
    _validator_path(part).write_text(value, encoding="utf-8")


def _verify(part: Path, url: str, sha256: str | None, size: int | None) -> None:
    found: Iterable[tuple[str, object, object]] = (
        ("bytes", size, part.stat().st_size if size is not None else None),
        ("SHA-256", sha256 and sha256.lower(), fingerprint_file(part) if sha256 else None),
    )
    for what, expected, actual in found:
        if expected and expected != actual:
            part.unlink()
            _validator_path(part).unlink(missing_ok=True)
            raise DataError(
                f"{redact_text(url)} is not the expected file: {what} {actual}, expected"
                f" {expected}\n  it was removed; try again, or check the configured checksum"
            )


def _add_handler(logger: logging.Logger, handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
    logger.addHandler(handler)


__all__ = [
    "ArchiveError",
    "DownloadError",
    "DownloadProgress",
    "download_url",
    "extract_archive",
    "extract_targz",
    "setup_logger",
]
