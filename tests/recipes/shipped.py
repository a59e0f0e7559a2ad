"""Run recipes as a user does: ``python run.py`` in the recipe's folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPO_ROOT = Path(__file__).resolve().parents[2]
STAGES = [
    "create_dataset",
    "train_tokenizer",
    "collect_stats",
    "train",
    "infer",
    "measure",
    "pack_model",
]
CONFIGS = [
    f"--{slot}_config=conf/{slot}.yaml"
    for slot in ("training", "inference", "metrics", "publication")
]


def copy_recipe(name: str, parent: Path) -> Path:
    """Copy a shipped recipe into ``parent``, so that nothing is written to the checkout."""
    made = shutil.ignore_patterns("data", "exp", "downloads", "__pycache__")
    return Path(shutil.copytree(REPO_ROOT / "egs3" / name, parent / "asr", ignore=made))


def run_recipe(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run stages in a process of their own, on one core."""
    return subprocess.run(
        [sys.executable, "run.py", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO_ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
