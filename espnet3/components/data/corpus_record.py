"""A note beside prepared data that says from what it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from espnet3.utils.path_utils import write_json
from espnet3.utils.types import PathLike


class CorpusRecord:
    """Tells finished data from half-made data, and from data made with other settings.

    :meth:`start` is called before the first file is made; the files in ``outputs`` are written
    last, so that their presence means that everything else is there.

    Args:
        data_dir: Folder of the prepared data.
        contents: What the data follow from: settings, seed, sizes, checksums. JSON values.
        outputs: Files, relative to ``data_dir``, that finish the preparation.

    Example:
        >>> import tempfile
        >>> record = CorpusRecord(tempfile.mkdtemp(), {"seed": 1}, outputs=["train.tsv"])
        >>> record.start()
        >>> record.is_current(), record.is_complete()
        (True, False)
    """

    FILE_NAME = "corpus.json"

    def __init__(
        self, data_dir: PathLike, contents: Mapping[str, Any], outputs: Iterable[PathLike]
    ) -> None:
        self.data_dir = Path(data_dir)
        self.path = self.data_dir / self.FILE_NAME
        self.outputs = tuple(self.data_dir / output for output in outputs)
        # Through JSON and back, so that tuples compare equal to the lists that are read.
        self._contents = json.loads(json.dumps(contents))

    def is_current(self) -> bool:
        """Tell whether the folder was started with the same contents."""
        try:
            return bool(json.loads(self.path.read_text(encoding="utf-8")) == self._contents)
        except (FileNotFoundError, json.JSONDecodeError):
            return False

    def is_complete(self) -> bool:
        """Tell whether the preparation came to its end with the same contents."""
        return self.is_current() and all(output.is_file() for output in self.outputs)

    def start(self, parts: Iterable[PathLike] = ()) -> None:
        """Start a preparation, or continue an interrupted one with the same contents.

        Args:
            parts: Folders, relative to ``data_dir``, with files made on the way to the outputs.
                When continuing they keep all but hidden entries, which are temporary files of a
                killed run; otherwise they are removed.
        """
        if self.is_current():
            for part in parts:
                _remove_hidden(self.data_dir / part)
            return
        for output in self.outputs:
            output.unlink(missing_ok=True)
        for part in parts:
            shutil.rmtree(self.data_dir / part, ignore_errors=True)
        write_json(self.path, self._contents)


def _remove_hidden(folder: Path) -> None:
    for entry in list(folder.rglob(".*")):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
