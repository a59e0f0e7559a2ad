"""The migration guide, followed literally in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPO_ROOT

PAGE = REPO_ROOT / "docs" / "guides" / "migration.md"
FILES = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_guide_works_when_it_is_followed_literally(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, text in FILES.findall(page):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = {k: v for k, v in os.environ.items() if "RANK" not in k} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPO_ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-ec", "".join(COMMANDS.findall(page))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "exp/training/inference/metrics.json").read_text())
    assert scores["espnet3.systems.asr.metrics.wer.WER"]["test"]["WER"] < 20
    history = (tmp_path / "exp/training_hub/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["values"]["loss"] for line in history if '"valid"' in line]
    assert losses[-1] < losses[0]
