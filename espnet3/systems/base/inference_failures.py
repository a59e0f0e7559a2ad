"""The list of samples that failed, on the disk as soon as they are known."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from espnet3.systems.base.inference_lines import LineFile
from espnet3.systems.base.inference_outcome import Failure
from espnet3.systems.base.inference_state import STATE_DIR

FAILURES_FILE = "failures.jsonl"


class FailureList:
    """Write one line of JSON per failure of a run, as the report will have it.

    Args:
        folder: Folder of the test set.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / STATE_DIR / FAILURES_FILE
        self._lines = LineFile(self.path)
        self._is_open = False

    def __enter__(self) -> Self:
        # What failed last time is tried again.
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._lines.__exit__()

    def add(self, failures: Iterable[Failure]) -> None:
        """Append failures; when this returns, the operating system has them.

        Raises:
            OSError: If they cannot be written.
        """
        for failure in failures:
            if not self._is_open:
                self._lines.open()
                self._is_open = True
            self._lines.append(json.dumps(failure.entry(), ensure_ascii=False))
        if self._is_open:
            self._lines.flush()
