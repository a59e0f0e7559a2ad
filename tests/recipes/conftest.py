"""Keep what `main` changes in this process inside one test."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

from espnet3.utils.device_utils import RANK_VARIABLES
from espnet3.utils.stage_ranks import RUNNING_STAGE_VARIABLE


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore handlers, import path and environment after a `main` in this process."""
    root = logging.getLogger()
    handlers, level, factory = root.handlers[:], root.level, logging.getLogRecordFactory()
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("PYTHONPATH", "")
    for name in (*RANK_VARIABLES, RUNNING_STAGE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    logging.captureWarnings(False)
