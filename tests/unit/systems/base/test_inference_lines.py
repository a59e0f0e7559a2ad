from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espnet3.systems.base import inference_lines
from espnet3.systems.base.inference_lines import LineFile

ROOT = Path(__file__).parents[4]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that nobody but the test looks after."""
    monkeypatch.setattr(LineFile, "_watch", lambda self: None)
    with LineFile(tmp_path / "lines", keeps_room=True) as file:
        file.open()
        yield file


def limited(monkeypatch, space):
    """Let the disk take so many bytes, and a few more once the room beside the file is gone."""
    write, left = os.write, [space]

    def write_some(handle, data):
        count = min(len(data), left[0])
        if count == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= count
        return write(handle, data[:count])

    monkeypatch.setattr(inference_lines.os, "write", write_some)
    return left


def test_lines_wait_a_moment_and_then_reach_the_system_and_the_disk(file, monkeypatch):
    synced = []
    monkeypatch.setattr(inference_lines.os, "fsync", synced.append)
    file.append("one")
    file.hand_over()
    assert file.path.read_bytes() == b""
    file._flushed -= 0.2
    file.hand_over()
    assert file.path.read_bytes() == b"one\n"
    assert not synced
    file._synced -= 2
    file.append("zwö")
    file.hand_over()
    assert file.path.read_text() == "one\nzwö\n"
    assert synced
    assert file.end == len(file.path.read_bytes())


@pytest.fixture
def synced(monkeypatch):
    """The size of the file whenever it was put on the disk."""
    sizes = []
    fsync = os.fsync

    def note(handle):
        fsync(handle)
        sizes.append(os.fstat(handle).st_size)

    monkeypatch.setattr(inference_lines.os, "fsync", note)
    return sizes


def test_a_line_is_on_the_disk_within_a_second_though_nobody_writes_more(tmp_path, synced):
    with LineFile(tmp_path / "lines") as file:
        file.open()
        file.append("one")
        deadline = time.monotonic() + 1.0
        while not synced:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.8)
        assert synced == [4], "nothing new, so nothing to do"


def test_a_thousand_lines_are_due_at_once(file, synced):
    for number in range(1, 2501):
        file.append("1234567")
        assert file.is_due == (number % 1000 == 0)
        file.hand_over()
    assert synced == [8 * 1000, 8 * 2000]


def test_what_is_kept_of_an_earlier_file_ends_where_it_is_told(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\nthr")
    with LineFile(path) as file:
        file.open(end=8)
        file.append("three")
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    with LineFile(path) as file:
        file.open(end=None)
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    with LineFile(path) as file:
        file.open(end=None)
        file.cut()
        file.append("new")
    assert path.read_bytes() == b"new\n"


def test_the_room_is_on_the_disk_while_the_file_is_open(file):
    room = file.path.with_name("lines.room")
    assert 0 < room.stat().st_size <= 1 << 20
    file.close()
    assert not room.exists()


@pytest.mark.parametrize("space", [0, 1, 5, 9])
def test_lines_that_do_not_fit_stay_here_until_there_is_space(file, monkeypatch, space):
    left = limited(monkeypatch, space)
    file.append("first")
    file.append("second")
    with pytest.raises(OSError, match="No space left") as caught:
        file.flush()
    assert caught.value.__notes__ == [f"while writing {file.path}"]
    assert file.path.stat().st_size == space
    file.append("third")
    left[0] = 100
    file.flush()
    assert file.path.read_text() == "first\nsecond\nthird\n"


def test_room_is_given_up_for_lines_and_the_error_comes_all_the_same(file, monkeypatch):
    left = limited(monkeypatch, 3)
    unlink = Path.unlink

    def give(path, **options):
        unlink(path, **options)
        left[0] += 1000

    monkeypatch.setattr(inference_lines.Path, "unlink", give)
    file.append("a line")
    with pytest.raises(OSError, match="No space left"):
        file.flush()
    assert file.path.read_text() == "a line\n"


FULL = """
import contextlib, subprocess, sys
from pathlib import Path
from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_writer import RecordWriter

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
writer = RecordWriter(folder, idx_key="id", fields=["hyp"])
options = {"num_samples": 2000, "parts": {"config": "x"}}
errors = []
with contextlib.suppress(OSError), Journal(folder, **options) as journal:
    journal.set_fields(["hyp"], set())
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    for start in range(0, 2000, 100):
        indices = range(start, start + 100)
        added = start + 100
        journal.add_all([writer.write(i, [{"id": f"u{i}", "hyp": "h" * 20}]) for i in indices])
print(added, flush=True)
(folder / "filler").unlink()
with Journal(folder, **options) as journal:
    print(journal.count, sorted(path.name for path in (folder / ".infer").iterdir()))
"""


def test_on_a_disk_that_is_full_nothing_that_was_handed_in_is_lost(tmp_path):
    enter = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*enter, "true"], check=False).returncode:
        pytest.skip("no mount namespaces on this machine")
    done = subprocess.run(
        [*enter, sys.executable, "-c", FULL, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    added, found = done.stdout.splitlines()
    assert found == f"{added} ['journal.jsonl', 'journal.jsonl.room']"
    assert int(added) >= 100
