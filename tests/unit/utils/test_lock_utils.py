from __future__ import annotations

import subprocess
import sys

import pytest

from espnet3.errors import StageError
from espnet3.utils.lock_utils import file_lock

HOLDER = """
import sys, time
from espnet3.utils.lock_utils import file_lock
with file_lock(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_lock_can_be_taken_again_after_its_block(tmp_path):
    for _ in range(2):
        with file_lock(tmp_path / "sub" / "lock", timeout=0):
            pass


def test_a_held_lock_times_out_and_names_its_holder_and_a_killed_holder_frees_it(tmp_path):
    lock = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        with (
            pytest.raises(StageError, match=f"locked by process {holder.pid} "),
            file_lock(lock, timeout=0.1),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with file_lock(lock, timeout=1):
        pass
