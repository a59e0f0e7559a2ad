"""The command line grows only on purpose: this list is the whole of it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from tests.conftest import REPO_ROOT

FLAGS = {
    "--help", "--stages", "--training_config", "--inference_config", "--metrics_config",
    "--publication_config", "--demo_config", "--dry_run", "--write_requirements", "--set",
    "--smoke",
}  # fmt: skip


def test_run_py_has_exactly_the_documented_flags() -> None:
    from egs3.TEMPLATE.asr.run import ALL_STAGES, build_parser

    parser = build_parser(ALL_STAGES)
    found = {o for action in parser._actions for o in action.option_strings if o.startswith("--")}
    assert found == FLAGS


def test_help_is_cheap() -> None:
    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "run.py", "--help"],
            cwd=REPO_ROOT / "egs3/mini_digits/asr",
            env={**os.environ, "PYTHONPATH": str(REPO_ROOT)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # The target is 0.35 CPU-seconds on an idle machine; a test leaves twice that for a busy one.
    assert min(cpu_seconds() for _ in range(3)) < 0.7
