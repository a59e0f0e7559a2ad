"""Pipes, sockets and devices, which nobody may read by accident: it could take for ever."""

from __future__ import annotations

from pathlib import Path

from espnet3.errors import BundleError
from espnet3.publication.bundle import is_bundle


def require_plain(path: Path, advice: str) -> None:
    """Raise if a path leads to something that is neither a file nor a folder.

    A link that leads nowhere is none of these.

    Raises:
        BundleError: If it is a pipe, a socket or a device.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise BundleError(f"{path} is neither file nor folder\n  {advice}")


def check_bundle_files(root: Path) -> None:
    """Refuse a bundle that holds a pipe, socket or device.

    Raises:
        BundleError: If it does.
    """
    for path in sorted(root.rglob("*")) if is_bundle(root) else ():
        require_plain(path, "do not use this bundle: packing writes none")
