"""What a finished inference run leaves behind, for the next run and for scoring."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet3.utils.fingerprint import fingerprint, fingerprint_file
from espnet3.utils.path_utils import write_json
from espnet3.utils.scp_utils import read_scp
from espnet3.utils.types import Seconds

STATE_DIR = ".infer"
"""Folder of a test set that holds what only the stage reads."""
_FILE = "done.json"
LOST_FILES = "files of output"
"""How a change begins that is only the loss of files that an SCP names."""
_EARLIER = "done.earlier.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """The content of ``<test set>/.infer/done.json``."""

    num_samples: int
    """Length of the data set."""
    num_records: int
    """Lines of each SCP file."""
    seconds: Seconds
    """Time that decoding took."""
    scp_digests: Mapping[str, str]
    """Digest of each SCP file, by output field."""
    artifact_fields: list[str]
    """Fields whose SCP lines name files."""
    parts: Mapping[str, str]
    """Digests of what the outputs depend on."""
    num_failed: int = 0
    """Samples without an output, because decoding them failed."""
    num_left: int = 0
    """Samples beyond ``execution.limit``, which nobody has decoded."""
    has_one_each: bool = False
    """Whether each sample has exactly one line."""

    @classmethod
    def load(cls, folder: Path) -> FinishedRun | None:
        """Return the record of a test set's folder, ``None`` if no run has finished there."""
        return cls._read(folder / STATE_DIR / _FILE)

    @classmethod
    def load_reusable(cls, folder: Path) -> FinishedRun | None:
        """Return that record, or the one before a run that ended without replacing anything."""
        return cls.load(folder) or cls._read(folder / STATE_DIR / _EARLIER)

    @classmethod
    def _read(cls, path: Path) -> FinishedRun | None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content.pop("fingerprint")
            return cls(**content)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            # Absent, or written by another version: decode again.
            return None

    @classmethod
    def of(cls, folder: Path, *, fields: Sequence[str], **counts: Any) -> FinishedRun:
        """Describe the run whose SCP files of ``fields`` are in ``folder``.

        Args:
            folder: Folder of the test set.
            fields: Output fields.
            **counts: All further attributes.
        """
        digests = {field: fingerprint_file(folder / f"{field}.scp") for field in fields}
        return cls(scp_digests=digests, **counts)

    def lacks(self, limit: int | None) -> int:
        """Return how many samples are missing to a run with this ``execution.limit``."""
        wanted = min(self.num_samples, limit or self.num_samples)
        return max(0, wanted - (self.num_samples - self.num_left))

    def save(self, folder: Path) -> None:
        """Write the record; from then on the outputs count as complete."""
        content = {"fingerprint": fingerprint(dict(self.parts)), **dataclasses.asdict(self)}
        write_json(folder / STATE_DIR / _FILE, content)
        forget(folder)

    def find_changes(self, folder: Path, parts: Mapping[str, str]) -> list[str]:
        """Return what differs now: parts by name, and outputs that are gone or were edited."""
        names = sorted(n for n in {*self.parts, *parts} if self.parts.get(n) != parts.get(n))
        for field, digest in self.scp_digests.items():
            path = folder / f"{field}.scp"
            if not path.is_file() or fingerprint_file(path) != digest:
                names.append(f"output {path.name}")
            elif field in self.artifact_fields and not artifacts_exist(path):
                names.append(f"{LOST_FILES} {field}")
        return names


def discard(folder: Path) -> None:
    """Declare the outputs of a test set incomplete, because a run is about to replace them."""
    run, path = FinishedRun.load(folder), folder / STATE_DIR / _FILE
    if run is not None and not run.artifact_fields:
        path.replace(path.with_name(_EARLIER))
    # Files are replaced one by one, so nobody could tell later which are whose.
    path.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Let what was finished before :func:`discard` never count again."""
    (folder / STATE_DIR / _EARLIER).unlink(missing_ok=True)


def restore(folder: Path) -> None:
    """Take :func:`discard` back; nothing has been replaced since."""
    if FinishedRun.load(folder) is None:
        (folder / STATE_DIR / _EARLIER).replace(folder / STATE_DIR / _FILE)


def is_unfinished(folder: Path) -> bool:
    """Tell whether a run has started in a test set's folder and not ended."""
    return (folder / STATE_DIR).is_dir() and not (folder / STATE_DIR / _FILE).is_file()


def artifacts_exist(scp: Path) -> bool:
    """Tell whether all files that an SCP file names are there."""
    return all(Path(value).exists() for _, value in read_scp(scp))
