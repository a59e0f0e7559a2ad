"""Make the journal of a finished run again from its SCP files, when some other files are gone."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from espnet3.systems.base.inference_journal import JOURNAL_FILE
from espnet3.systems.base.inference_state import LOST_FILES, STATE_DIR, FinishedRun
from espnet3.utils.path_utils import atomic_open

logger = logging.getLogger(__name__)


def rebuild_journal(folder: Path, parts: Mapping[str, str]) -> None:
    """Write the journal of a complete run that lacks nothing but files that its SCP files name.

    Whoever reads it leaves out samples whose files are gone, so only those are decoded again.

    Args:
        folder: Folder of the test set.
        parts: Digests of what the outputs depend on now.
    """
    path = folder / STATE_DIR / JOURNAL_FILE
    run = FinishedRun.load(folder)
    if path.exists() or run is None or not run.has_one_each or run.num_failed or run.num_left:
        return
    changes = run.find_changes(folder, parts)
    if not changes or not all(change.startswith(LOST_FILES) for change in changes):
        return
    fields = list(run.scp_digests)
    with atomic_open(path) as stream:
        header = {"parts": dict(parts), "samples": run.num_samples}
        notes = {"fields": fields, "artifacts": run.artifact_fields}
        rows = zip(*(_read_rows(folder / f"{field}.scp") for field in fields), strict=True)
        entries = ([i, [[row[0][0], *(text for _, text in row)]]] for i, row in enumerate(rows))
        for entry in (header, notes, *entries):
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")
    logger.info("%s: %s are gone; only those are made again", folder.name, ", ".join(changes))


def _read_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield id and text of each line exactly as they were written."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            utt_id, _, text = line.removesuffix("\n").partition(" ")
            yield utt_id, text
