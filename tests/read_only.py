"""Run a program for which a folder is read-only, really, also for root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_MOUNT = """
mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"
"""


def read_only_for(folder: Path) -> list[str]:
    """Return the words to put before a command, which then cannot write into ``folder``.

    A mount that only the command sees; where that is not allowed, ordinary permissions, for root
    those of the user ``nobody``.
    """
    for prefix in _ways(folder):
        writes = [*prefix, sys.executable, "-c", f"open({str(folder / 'probe')!r}, 'w')"]
        reads = [*prefix, sys.executable, "-c", f"import os; os.listdir({str(folder)!r})"]
        done = [
            subprocess.run(words, capture_output=True, check=False) for words in (reads, writes)
        ]
        (folder / "probe").unlink(missing_ok=True)
        if done[0].returncode == 0 and done[1].returncode == 1:
            return prefix
    pytest.skip("nothing on this machine makes a folder read-only for this user")


def _ways(folder: Path) -> Iterator[list[str]]:
    if os.getuid() == 0:
        yield ["unshare", "--mount", "sh", "-c", _MOUNT, str(folder)]
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    if os.getuid() == 0:
        yield ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    else:
        yield []
