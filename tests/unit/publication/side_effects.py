"""What a piece of code does to the machine, as the interpreter itself reports it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

FORBIDDEN = frozenset(
    {
        "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
        "subprocess.Popen", "socket.connect", "socket.bind", "socket.getaddrinfo",
        "socket.gethostbyname", "urllib.Request", "pickle.find_class", "webbrowser.open",
    }
)  # fmt: skip
"""Audit events of starting programs, of the network and of unpickling objects."""

SECRETS = ("/etc/passwd", "/etc/hostname", str(Path("~/.netrc").expanduser()))

_watching: list[tuple[Path, Path, list[str]]] = []


@contextlib.contextmanager
def watched(bundle: Path, cache: Path) -> Iterator[list[str]]:
    """Collect what the block does that loading an untrusted bundle must not do.

    That is, besides ``FORBIDDEN``: running code of the bundle, writing anywhere but into the cache,
    and reading what lies beside the bundle.
    """
    found: list[str] = []
    _watching.append((bundle, cache, found))
    try:
        yield found
    finally:
        _watching.pop()


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _watching:
        return
    bundle, cache, found = _watching[-1]
    if event in FORBIDDEN:
        found.append(f"{event} {args}")
    elif event == "exec":
        name = getattr(args[0], "co_filename", "")
        if name.startswith(f"{bundle}/"):
            found.append(f"runs {name}")
    elif event == "open" and isinstance(args[0], str | bytes | os.PathLike):
        _judge_open(os.fsdecode(args[0]), args[2], bundle, cache, found)


def _judge_open(name: str, flags: object, bundle: Path, cache: Path, found: list[str]) -> None:
    path = os.path.abspath(name)  # noqa: PTH100 - links as they are named
    is_write = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if is_write and not path.startswith((f"{cache}/", os.devnull)):
        found.append(f"writes {path}")
    is_beside = path.startswith(f"{bundle.parent}/") and not path.startswith(f"{bundle}/")
    secret = is_beside and not path.startswith(f"{cache}/")
    if secret or path in SECRETS:
        found.append(f"reads {path}")


sys.addaudithook(_hook)
