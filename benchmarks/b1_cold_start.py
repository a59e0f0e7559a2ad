"""B1, cold start: CPU-seconds and memory before anything useful happens.

Compares ``import espnet3``, ``run.py`` and the ``espnet3`` command with a bare interpreter.
Runs are interleaved; medians are printed.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

RECIPE = Path(__file__).resolve().parents[1] / "egs3/mini_digits/asr"
CONFIGS = [
    part
    for slot in ("training", "inference", "metrics", "publication")
    for part in (f"--{slot}_config", f"conf/{slot}.yaml")
]
STAGES = ["create_dataset", "train_tokenizer", "collect_stats", "train", "infer", "measure"]
COMMANDS = {
    "bare python": ["-c", "pass"],
    "import espnet3": ["-c", "import espnet3"],
    "run.py --help": ["run.py", "--help"],
    "run.py --dry_run": ["run.py", *CONFIGS, "--stages", *STAGES, "--dry_run"],
    "espnet3 --help": ["-m", "espnet3", "--help"],
    "espnet3 check": ["-m", "espnet3", "check"],
}
TARGETS = {
    "run.py --help": (0.35, 40.0),
    "run.py --dry_run": (0.8, None),
    "espnet3 --help": (0.35, 40.0),
    "espnet3 check": (1.0, None),
}
REPEATS = 7


def measure(arguments: list[str]) -> tuple[float, float]:
    """Run a Python command in the recipe folder; return CPU-seconds and peak memory in MB."""
    actions = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    pid = os.posix_spawn(
        sys.executable, [sys.executable, *arguments], os.environ, file_actions=actions
    )
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"failed: {' '.join(arguments)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print one row per command."""
    os.chdir(RECIPE)
    runs = [{name: measure(command) for name, command in COMMANDS.items()} for _ in range(REPEATS)]
    print(f"{'command':<18} {'CPU-s':>7} {'MB':>6}  target")
    for name in COMMANDS:
        seconds, megabytes = (statistics.median(r[name][i] for r in runs) for i in (0, 1))
        limit = TARGETS.get(name)
        note = "" if limit is None else f"<= {limit[0]} CPU-s"
        if limit is not None and limit[1] is not None:
            note += f", <= {limit[1]:.0f} MB"
        print(f"{name:<18} {seconds:>7.3f} {megabytes:>6.1f}  {note}")


if __name__ == "__main__":
    main()
