"""A bundle as one file."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

from espnet3.publication import bundle
from espnet3.utils.path_utils import atomic_path

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_COMPRESSED = frozenset({".json", ".md", ".py", ".txt", ".yaml"})
"""Weights are noise to a compressor."""


def archive_path(root: Path) -> Path:
    """Return where the archive of a bundle lies."""
    return root.with_name(f"{root.name}.zip")


def is_archive(path: Path) -> bool:
    """Tell whether a file is the archive of a bundle, so it may be replaced."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return bundle.META_FILE in archive.namelist()


def write_archive(root: Path) -> Path:
    """Write the files of a bundle, named from its root, to a zip file beside it.

    Equal bundles give equal bytes when ``SOURCE_DATE_EPOCH`` is set.
    """
    path = archive_path(root)
    moment = max(time.gmtime(bundle.build_time())[:6], _EARLIEST)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), moment)
            is_text = file.suffix in _COMPRESSED
            entry.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while block := source.read(2**20):
                    target.write(block)
    return path
