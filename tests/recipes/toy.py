"""A recipe folder without audio: stages leave a trace and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPO_ROOT = Path(__file__).resolve().parents[2]

SYSTEM = """
from espnet3.systems.asr.system import ASRSystem

class RecipeSystem(ASRSystem):
    def export_debug(self):
        output_dir = self.exp_dir / "debug_export"
        output_dir.mkdir(parents=True, exist_ok=True)
        return output_dir

    def explain(self):
        from espnet3.errors import DataError
        raise DataError("corpus.tar.gz is damaged")

    def crash(self):
        return {}["missing"]
"""

RUN = """
from egs3.TEMPLATE.asr.run import build_parser, main, parse_cli_and_stage_args
from src.system import RecipeSystem

DEFAULT_STAGES = [
    "create_dataset",
    "collect_stats",
    "train",
    "infer",
    "measure",
    "export_debug",
    "explain",
    "crash",
]

if __name__ == "__main__":
    args, _ = parse_cli_and_stage_args(build_parser(DEFAULT_STAGES), DEFAULT_STAGES)
    main(args=args, system_cls=RecipeSystem)
"""


def write_recipe(folder: Path, *, system: str = SYSTEM, run: str = RUN, **configs: str) -> Path:
    """Write a recipe with `src/system.py`, `run.py` and `conf/<name>.yaml`; return its folder."""
    files = {"src/__init__.py": "", "src/system.py": system, "run.py": run}
    files |= {f"conf/{name}.yaml": text for name, text in configs.items()}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def run_recipe(folder: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run `python run.py …` as a user does and return what happened."""
    environment = {k: v for k, v in os.environ.items() if "RANK" not in k}
    environment["PYTHONPATH"] = str(REPO_ROOT)
    script = "run.py" if cwd is None else str(folder / "run.py")
    return subprocess.run(
        [sys.executable, script, *words],
        cwd=cwd or folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def tree(folder: Path) -> set[str]:
    """Return all files and folders below a folder, without byte code."""
    paths = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {path for path in paths if "__pycache__" not in path}
