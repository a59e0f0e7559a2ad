"""Where in the journal of a test set the lines of its finished samples are."""

from __future__ import annotations

import json
import mmap
from array import array
from collections.abc import Iterator
from pathlib import Path

_decode = json.JSONDecoder().raw_decode

_UNSEEN = -1


class LineIndex:
    """The place of one line for each finished sample, in eight bytes for each sample.

    Args:
        path: File of the lines; each holds the index of a sample and its rows.
        num_samples: Length of the data set.
    """

    def __init__(self, path: Path, num_samples: int) -> None:
        self.count = 0
        """Finished samples."""
        self._path = path
        self._offsets = array("q", [_UNSEEN]) * num_samples

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, position: int) -> bool:
        return position < len(self._offsets) and self._offsets[position] != _UNSEEN

    def put(self, position: int, offset: int) -> None:
        """Note where the line of a sample that had none begins."""
        if position >= len(self._offsets):
            # A runner of its own may return more records than there are samples.
            self._offsets.extend([_UNSEEN] * (position + 1 - len(self._offsets)))
        self._offsets[position] = offset
        self.count += 1

    def drop(self, position: int) -> None:
        """Let a finished sample be one that is not."""
        self._offsets[position] = _UNSEEN
        self.count -= 1

    def rows(self, position: int) -> list[list[str]]:
        """Read the rows of one sample: id and the text of each output field."""
        with self._path.open("rb") as stream:
            stream.seek(self._offsets[position])
            return list(json.loads(stream.readline())[1])

    def iter_rows(self) -> Iterator[list[str]]:
        """Read the rows of all finished samples in the order of the data set."""
        with (
            self._path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            for offset in self._offsets:
                if offset != _UNSEEN:
                    line = content[offset : content.find(b"\n", offset)].decode()
                    yield from _decode(line)[0][1]
