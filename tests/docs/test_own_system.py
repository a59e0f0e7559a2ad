"""The guide to a system of one's own, followed literally in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks import b12_own_system
from tests.conftest import REPO_ROOT

COMMANDS = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_guide_works_when_it_is_followed_literally(tmp_path: Path) -> None:
    for name, text in b12_own_system.read_files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (commands,) = COMMANDS.findall(b12_own_system.PAGE.read_text())
    python = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if "RANK" not in k} | {
        "PATH": f"{python}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPO_ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    experiment = tmp_path / "egs3/tones/pitch/exp/training"
    (metric,) = json.loads((experiment / "inference/metrics.json").read_text()).values()
    assert metric["test"]["accuracy"] > 90
    assert (experiment / "list_mistakes.log").is_file()


def test_a_recipe_of_a_new_task_is_short() -> None:
    counts = b12_own_system.count_recipe(b12_own_system.read_files())
    total = sum(counts.values())
    assert len(counts) == 5
    assert total <= b12_own_system.LIMIT
    assert f"configuration in {total} lines" in b12_own_system.PAGE.read_text()
