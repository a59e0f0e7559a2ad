"""Run the scripts of the guide to workers as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPO_ROOT
from tests.docs.pages import FILES, write_files


def test_the_runner_of_the_guide_works_here_with_shards_and_detached(tmp_path):
    page = (REPO_ROOT / "docs/guides/parallel.md").read_text("utf-8")
    files = dict(FILES.findall(page))
    assert list(files) == ["words.py", "write_counts.py", "detach.py"]
    write_files(tmp_path, files)
    environment = {**os.environ, "PYTHONPATH": str(REPO_ROOT), "OMP_NUM_THREADS": "1"}
    for name, body in files.items():
        done = subprocess.run(
            [sys.executable, name],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        shown = body.splitlines()[-1].partition("  # ")[2]
        assert (done.stdout, done.returncode) == (f"{shown}\n", 0), done.stderr
    assert (tmp_path / "out/counts").read_text() == "3\n3\n5\n"
