from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

CODE = "from espnet3.utils.progress import progress_bar\nwith progress_bar(3, 'count') as bar:\n"
LOOP = CODE + "    [bar.update() for _ in range(3)]"


def test_a_log_gets_no_bars() -> None:
    done = subprocess.run([sys.executable, "-c", LOOP], stderr=subprocess.PIPE, check=True)
    assert done.stderr == b""


def test_a_terminal_shows_count_and_name() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run([sys.executable, "-c", LOOP], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000)
    os.close(ours)
    assert b"count" in shown
    assert b"3/3" in shown
