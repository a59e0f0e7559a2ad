"""The journal of a test set: which samples are finished, and what came out.

One line of JSON per entry. The first holds what the outputs depend on, one more the output fields,
others take back a sample whose id came again, all others hold the index of a sample and its rows.
Lines are only appended, so whatever happens to the process, all complete lines count and at most
the last one is lost.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from espnet3.errors import ScpError
from espnet3.systems.base.inference_index import LineIndex
from espnet3.systems.base.inference_lines import LineFile
from espnet3.systems.base.inference_outcome import Failure
from espnet3.systems.base.inference_scps import publish_scps
from espnet3.systems.base.inference_state import STATE_DIR, forget
from espnet3.systems.base.inference_writer import WrittenSample

logger = logging.getLogger(__name__)

JOURNAL_FILE = "journal.jsonl"


class Journal:
    """Collect finished samples in any order, over several runs, each one once.

    Args:
        folder: Folder of the test set.
        num_samples: Length of the data set.
        parts: Digests of what the outputs depend on.
        keeps_earlier: Whether a journal that depends on the same is continued.
        fields: Output fields; empty if the first record decides.
    """

    def __init__(
        self,
        folder: Path,
        *,
        num_samples: int,
        parts: Mapping[str, str],
        keeps_earlier: bool = True,
        fields: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.path = folder / STATE_DIR / JOURNAL_FILE
        self.fields = list(fields)
        """Output fields; empty while unknown."""
        self.artifact_fields: set[str] = set()
        self.num_records = 0
        """Lines that each SCP file will have."""
        self.has_one_each = True
        """Whether each finished sample has exactly one of them."""
        self._lines = LineFile(self.path, keeps_room=True)
        self._clashes: list[Failure] = []
        self._index = LineIndex(self.path, num_samples)
        self._positions: dict[str, int] = {}
        self._parts = dict(parts)
        self._keeps_earlier = keeps_earlier
        self._has_fields = False
        self._earlier_samples: int | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        end = self._read_earlier() if self._keeps_earlier else 0
        self._is_begun = bool(end)
        # Until the first sample is there, a model that cannot be loaded has replaced nothing.
        keeps = not self._is_begun and self._keeps_earlier and _names_no_files(self.path)
        self._lines.open(end=None if keeps else end)
        if self._is_begun and self._earlier_samples != len(self._index):
            self._append({"samples": len(self._index)})
        return self

    def __exit__(self, *exception: object) -> None:
        self._lines.__exit__()

    def is_done(self, index: int) -> bool:
        """Tell whether a sample is finished."""
        return index in self._index

    @property
    def count(self) -> int:
        """Finished samples."""
        return self._index.count

    @property
    def num_missing(self) -> int:
        """Samples that are not finished."""
        return len(self._index) - self._index.count

    def set_fields(self, fields: Sequence[str], artifact_fields: set[str]) -> None:
        """Note the output fields, and which of them have files of their own."""
        is_news = not artifact_fields <= self.artifact_fields
        if is_news or (fields and not self._has_fields):
            self.fields = list(fields)
            self.artifact_fields |= artifact_fields
            self._has_fields = True
            if self._is_begun:
                self._append_fields()

    def add(self, sample: WrittenSample) -> bool:
        """Append a sample; one that is finished already, or whose id came before, is left out.

        Samples with the same id share their files, so what belongs to which of them is unknown:
        the earlier one does not count either; ``take_clashes`` tells both.

        Returns:
            Whether it is new.
        """
        if self.is_done(sample.position):
            return False
        if not self._is_begun:
            self._begin()
        for sample_id in sample.ids:
            if sample_id in self._positions:
                self._refuse(sample_id, sample.position)
                return False
            self._positions[sample_id] = sample.position
        self._index.put(sample.position, self._lines.end)
        self._lines.append(sample.line)
        self.num_records += len(sample.ids)
        self.has_one_each &= len(sample.ids) == 1
        return True

    def add_all(self, samples: Iterable[WrittenSample]) -> int:
        """Append samples, hand them over to the disk now and then; return how many more count.

        Raises:
            OSError: If the disk is full.
        """
        before = self.count
        for sample in samples:
            self.add(sample)
        self._lines.hand_over()
        return self.count - before

    def take_clashes(self) -> list[Failure]:
        """Return samples whose id another one has, and that were not returned before."""
        clashes, self._clashes = self._clashes, []
        return clashes

    def write_scps(self) -> None:
        """Write the SCP files in the order of the data set; stale ones of ours are removed."""
        self._lines.sync()
        publish_scps(self.folder, self.fields, self.artifact_fields, self._index.iter_rows())

    def remove(self) -> None:
        """Delete the journal, after its content has become SCP files."""
        self._lines.close()
        self.path.unlink()

    def rows(self, index: int) -> list[list[str]]:
        """Return the rows of a finished sample: id and the text of each output field."""
        self._lines.flush()
        return self._index.rows(index)

    def _refuse(self, sample_id: str, position: int) -> None:
        earlier = self._positions[sample_id]
        refused = [position]
        if self.is_done(earlier):
            self._lines.flush()
            self._forget(earlier)
            self._append({"dropped": earlier})
            refused.insert(0, earlier)
        places = " and ".join(map(str, sorted({earlier, position})))
        message = f"sample id {sample_id!r} occurs twice (item {places}); ids must differ"
        self._clashes += [
            Failure(index, "duplicate_id", message, sample_id, error=ScpError(message))
            for index in refused
        ]

    def _forget(self, position: int) -> list[str]:
        """Let a finished sample not count; return its ids."""
        rows = self._index.rows(position)
        self._index.drop(position)
        self.num_records -= len(rows)
        return [row[0] for row in rows]

    def _begin(self) -> None:
        forget(self.folder)
        self._lines.cut()
        self._is_begun = True
        self._append({"parts": self._parts, "samples": len(self._index)})
        if self._has_fields:
            self._append_fields()

    def _append_fields(self) -> None:
        self._append({"fields": self.fields, "artifacts": sorted(self.artifact_fields)})

    def _append(self, entry: Any) -> None:
        self._lines.append(json.dumps(entry, ensure_ascii=False))

    def _read_earlier(self) -> int:
        """Read the journal of an interrupted, equal run; return where its complete lines end."""
        if not self.path.is_file():
            return 0
        end = 0
        with self.path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                entry = _parse(line)
                if end == 0 and not self._continues(entry):
                    return 0
                if isinstance(entry, list):
                    self._restore(entry, end)
                elif isinstance(entry, dict):
                    self._restore_notes(entry)
                end += len(line)
        if self.count:
            logger.info("Going on: %d samples were finished by an earlier run", self.count)
        return end

    def _continues(self, header: Any) -> bool:
        earlier = header.get("parts") if isinstance(header, dict) else None
        if not isinstance(earlier, dict):
            return False
        names = {*earlier, *self._parts}
        changes = sorted(n for n in names if earlier.get(n) != self._parts.get(n))
        if changes:
            logger.info("Starting again, because of %s", ", ".join(changes))
        return not changes

    def _restore_notes(self, entry: dict[str, Any]) -> None:
        self._earlier_samples = entry.get("samples", self._earlier_samples)
        if "dropped" in entry and self.is_done(entry["dropped"]):
            for sample_id in self._forget(entry["dropped"]):
                del self._positions[sample_id]
        if "fields" in entry:
            self.fields = entry["fields"]
            self.artifact_fields = set(entry["artifacts"])
            self._has_fields = True

    def _restore(self, entry: list[Any], offset: int) -> None:
        index, rows = entry
        # Those beyond `execution.limit` wait for a run without it.
        if index < len(self._index) and not self.is_done(index) and self._has_files(rows):
            self._index.put(index, offset)
            self._positions.update((row[0], index) for row in rows)
            self.num_records += len(rows)
            self.has_one_each &= len(rows) == 1

    def _has_files(self, rows: list[list[str]]) -> bool:
        """Tell whether the files of a sample are still there."""
        columns = [(n, f) for n, f in enumerate(self.fields, 1) if f in self.artifact_fields]
        values = [(row[n], f"{self.folder.as_posix()}/{f}/") for row in rows for n, f in columns]
        return all(Path(text).exists() for text, start in values if text.startswith(start))


def _names_no_files(path: Path) -> bool:
    """Tell whether there is a journal whose samples have no files that a new run would replace."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        notes = [_parse(line) for line in stream if line.startswith(b'{"fields"')]
    return not any(isinstance(note, dict) and note["artifacts"] for note in notes)


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
