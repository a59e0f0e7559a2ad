"""Files that nobody may read by accident: it could take for ever, or all of the memory."""

from __future__ import annotations

from pathlib import Path

from espnet3.errors import BundleError
from espnet3.publication.bundle import is_bundle
from espnet3.utils.printable import printable
from espnet3.utils.weight_files import WEIGHT_SUFFIXES

MAX_BYTES = 64 * 2**20
"""For files other than weights and arrays: token lists, tokenizers, statistics in text form."""
_LARGE = frozenset({*WEIGHT_SUFFIXES, ".npy", ".npz"})


def require_plain(path: Path, advice: str) -> None:
    """Raise if a path leads to something that is neither a file nor a folder.

    A link that leads nowhere is none of these.

    Raises:
        BundleError: If it is a pipe, a socket or a device.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise BundleError(f"{printable(path)} is neither file nor folder\n  {advice}")


def require_small(path: Path) -> None:
    """Raise if a file is too large to be read as a whole; weights and arrays have other limits.

    Raises:
        BundleError: If it is.
    """
    size = path.stat().st_size
    if size > MAX_BYTES and path.suffix not in _LARGE:
        raise BundleError(
            f"{printable(path)} has {size} bytes, and {MAX_BYTES} is the most that is read of such "
            "a file\n  ask its author for a smaller one, or pass trust_user_code=True"
        )


def check_bundle_files(root: Path) -> None:
    """Refuse a bundle that holds a pipe, socket or device.

    Raises:
        BundleError: If it does.
    """
    for path in sorted(root.rglob("*")) if is_bundle(root) else ():
        require_plain(path, "do not use this bundle: packing writes none")
