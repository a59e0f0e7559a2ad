"""A log that a running process writes to keeps its name and its reports."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from espnet3.utils.log_files import open_log_file
from tests.conftest import REPO_ROOT

HOLDER = """
import logging, sys
from pathlib import Path
from espnet3.utils.log_files import open_log_file
handler = open_log_file(Path(sys.argv[1]), logging.FileHandler)
handler.emit(logging.makeLogRecord({"msg": "first"}))
print("ready", flush=True)
sys.stdin.read()
handler.emit(logging.makeLogRecord({"msg": "second"}))
"""


def open_and_close(path: Path) -> str:
    handler = open_log_file(path, logging.FileHandler)
    handler.close()
    return Path(handler.baseFilename).name


def test_the_log_of_a_running_process_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        env={**os.environ, "PYTHONPATH": str(REPO_ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        (tmp_path / "train.run.json").write_text("{}")
        assert open_and_close(path) == "train1.log"
        assert open_and_close(path) == "train2.log"
        assert (tmp_path / "train.run.json").exists()
        holder.communicate("")
    assert path.read_text() == "first\nsecond\n"
    assert open_and_close(path) == "train.log"
    assert (tmp_path / "train3.log").read_text() == "first\nsecond\n"
    assert (tmp_path / "train3.run.json").exists()


def test_without_a_file_nothing_is_in_use(tmp_path: Path) -> None:
    assert open_and_close(tmp_path / "a" / "train.log") == "train.log"
