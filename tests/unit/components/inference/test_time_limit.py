from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from espnet3.components.inference.time_limit import TimeLimit

START = """
import sys, threading, time
from espnet3.components.inference.time_limit import TimeLimit
limit = TimeLimit(1.0)
"""
TOGETHER = """
def take(seconds):
    with limit():
        time.sleep(seconds)
threads = [threading.Thread(target=take, args=(s,)) for s in ({first}, {second})]
for thread in threads:
    thread.start()
    time.sleep(0.2)
for thread in threads:
    thread.join()
print("through")
"""
AGAIN = """
for _ in range(4):
    with limit():
        time.sleep(0.4)
time.sleep(1.2)
print("through")
"""


@pytest.mark.parametrize(
    ("code", "code_of_exit"),
    [
        (AGAIN, 0),
        (TOGETHER.format(first=0.6, second=0.7), 0),
        (TOGETHER.format(first=30, second=0.4), 1),
        (TOGETHER.format(first=0.4, second=30), 1),
    ],
)
def test_each_block_has_the_time_for_itself(code, code_of_exit):
    done = subprocess.run(
        [sys.executable, "-c", START + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[4],
        timeout=25,
    )
    assert done.returncode == code_of_exit, done.stderr
    assert ("through" in done.stdout) == (code_of_exit == 0)
    assert ("in take" in done.stderr) == (code_of_exit == 1)


def test_no_limit_costs_nothing():
    limit = TimeLimit(None)
    assert limit() is limit()
