"""Publish the SCP files of a test set: all of them, complete, or none."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from espnet3.errors import InferenceError
from espnet3.systems.base.inference_state import STATE_DIR
from espnet3.utils.path_utils import write_json
from espnet3.utils.scp_utils import format_line

logger = logging.getLogger(__name__)

_UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+)?")
"""Temporary names of ``atomic_path``; no artifact begins with a dot."""


def publish_scps(
    folder: Path,
    fields: Sequence[str],
    artifact_fields: Collection[str],
    rows: Iterable[Sequence[str]],
) -> None:
    """Write one SCP file per field; what an earlier or killed run has left is removed.

    Args:
        folder: Folder of the test set.
        fields: Output fields.
        artifact_fields: Those that have files of their own.
        rows: Id and the text of each field, in the order of the data set.

    Raises:
        InferenceError: If somebody has removed the folder of a field; nothing is written then.
    """
    for field in artifact_fields:
        if not (folder / field).is_dir():
            raise InferenceError(
                f"{folder / field}: the folder is gone, and with it the files of output {field!r}\n"
                "  run the stage `infer` again: it makes only what is missing"
            )
    partial = folder / STATE_DIR / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context((partial / f"{field}.scp").open("w", encoding="utf-8"))
            for field in fields
        ]
        for row in rows:
            for stream, text in zip(streams, row[1:], strict=True):
                stream.write(format_line(row[0], text))
        for stream in streams:
            stream.flush()
            os.fsync(stream.fileno())
    _move(partial, folder, fields)
    for field in artifact_fields:
        for path in (folder / field).iterdir():
            # A process that was killed leaves the file that it was writing.
            if _UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _move(partial: Path, folder: Path, fields: Sequence[str]) -> None:
    owned = partial.parent / "owned.json"
    earlier: list[str] = []
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        earlier = [str(name) for name in json.loads(owned.read_text(encoding="utf-8"))]
    write_json(owned, sorted({*earlier, *fields}))
    for field in fields:
        (partial / f"{field}.scp").replace(folder / f"{field}.scp")
    for field in set(earlier) - set(fields):
        (folder / f"{field}.scp").unlink(missing_ok=True)
        logger.info("Removed %s.scp of an earlier run", field)
    write_json(owned, sorted(fields))
    partial.rmdir()
