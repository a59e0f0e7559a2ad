"""A root logger that one test keeps from the next, and small files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from espnet3.utils.device_utils import RANK_VARIABLES
from espnet3.utils.stage_ranks import RUNNING_STAGE_VARIABLE


@pytest.fixture
def clean_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Give the test a root logger without handlers and restore everything afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    factory = logging.getLogRecordFactory()
    root.handlers[:] = []
    for name in (*RANK_VARIABLES, RUNNING_STAGE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    logging.captureWarnings(False)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that writes a file below the folder of the test."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_file
