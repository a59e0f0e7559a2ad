"""One repository on the Hub: what it holds, and how that differs from a folder."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.publication.bundle import sha256_of

_KEPT = frozenset({".gitattributes"})


@dataclass(frozen=True, kw_only=True)
class RemoteState:
    """One revision of a repository."""

    commit: str
    is_private: bool
    files: dict[str, Any]
    """Path → the Hub's record of it: ``size``, ``blob_id`` and ``lfs``."""

    def holds(self, marker: str) -> bool:
        """Tell whether it has, or could get without harm, files of the kind that a file marks."""
        return marker in self.files or set(self.files) <= _KEPT


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a commit would do to a repository."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.deleted)

    def __str__(self) -> str:
        counts = {"added": self.added, "changed": self.changed, "deleted": self.deleted}
        return ", ".join(f"{len(names)} {kind}" for kind, names in counts.items())


def read_state(
    client: Any, repository: str, revision: str | None, repo_type: str
) -> RemoteState | None:
    """Return what a revision holds, ``None`` when there is no such repository.

    A branch that does not exist is read as the default branch, from which it would be made.

    Raises:
        Exception: What the Hub client raises otherwise.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    for candidate in dict.fromkeys([revision, None]):
        try:
            info = client.repo_info(
                repository, revision=candidate, repo_type=repo_type, files_metadata=True
            )
        except RevisionNotFoundError:
            continue
        except RepositoryNotFoundError:
            return None
        files = {entry.rfilename: entry for entry in info.siblings or ()}
        return RemoteState(commit=str(info.sha), is_private=bool(info.private), files=files)
    return RemoteState(commit="", is_private=False, files={})


def compare(
    folder: Path, names: Iterable[str], state: RemoteState | None, delete_patterns: Sequence[str]
) -> Changes:
    """Say what it takes to make a repository hold a folder.

    Args:
        folder: The folder.
        names: Its files that are sent.
        state: What the repository holds; ``None`` when it does not exist.
        delete_patterns: Which other files go.
    """
    local = set(names)
    remote = state.files if state is not None else {}
    gone = {
        name
        for name in set(remote) - local - _KEPT
        if any(fnmatch.fnmatch(name, pattern) for pattern in delete_patterns)
    }
    return Changes(
        added=tuple(sorted(local - set(remote))),
        changed=tuple(
            name
            for name in sorted(local & set(remote))
            if not _is_same(folder / name, remote[name])
        ),
        deleted=tuple(sorted(gone)),
    )


def _is_same(path: Path, entry: Any) -> bool:
    if entry.size is not None and entry.size != path.stat().st_size:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs["sha256"] == sha256_of(path))
    return bool(entry.blob_id == _git_digest(path))


def _git_digest(path: Path) -> str:
    """Return the name that git gives to a file's content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    digest.update(path.read_bytes())
    return digest.hexdigest()
