"""A stable name that points to the newest of several files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from espnet3.utils.path_utils import atomic_path


def point_to(link: Path, target: Path) -> None:
    """Make ``link`` a relative symbolic link to a file beside it, atomically.

    Where links are impossible it becomes a copy.
    """
    staged = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        staged.unlink(missing_ok=True)
        staged.symlink_to(target.name)
        staged.replace(link)
    except OSError:
        staged.unlink(missing_ok=True)
        with atomic_path(link) as temporary:
            shutil.copyfile(target, temporary)
