"""Stand-ins for the commands of batch systems: they really run what is submitted.

Run as a script, it is one of these commands; its arguments are a folder for what it knows, the
name of the batch system, and those of the command.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "slurm": ("sbatch", "scancel", "Submitted batch job {id}"),
    "pbs": ("qsub", "qdel", "{id}.server"),
    "sge": ("qsub", "qdel", 'Your job {id} ("worker") has been submitted'),
    "lsf": ("bsub", "bkill", "Job <{id}> is submitted to queue <normal>."),
    "htcondor": ("condor_submit", "condor_rm", "1 job(s) submitted to cluster {id}."),
    "moab": ("msub", "canceljob", "\n{id}\n"),
    "oar": ("oarsub", "oardel", "[ADMISSION RULE] ok\nOAR_JOB_ID={id}"),
}
"""Commands to submit and to cancel, and the answer to the former."""

WALLTIMES = {
    "slurm": "#SBATCH -t 00:30:00",
    "pbs": "#PBS -l walltime=00:30:00",
    "sge": "#$ -l h_rt=00:30:00",
    "lsf": "#BSUB -W 00:30",
    "moab": "#PBS -l walltime=00:30:00",
    "oar": "walltime=00:30:00",
}
"""What stands in the script of a job that may take 1800 seconds."""

OPTIONS = {
    "htcondor": {"walltime": None, "disk": "1GB"},
    "lsf": {"lsf_units": "mb"},
    "oar": {"memory_per_core_property_name": "not_applicable"},
}
"""Options beside those that all systems take; ``None`` removes one."""


def install(folder: Path, env: str) -> None:
    """Write the commands of a batch system into a folder."""
    for command in COMMANDS[env][:2]:
        path = folder / command
        parts = [sys.executable, __file__, str(folder), env, command]
        path.write_text(f'#!/bin/sh\nexec {shlex.join(parts)} "$@"\n')
        path.chmod(0o755)


def read_lines(path: Path) -> list[str]:
    """Return what was submitted or cancelled so far."""
    return path.read_text().splitlines() if path.exists() else []


def _script(env: str, words: list[str]) -> tuple[str, str]:
    """Return what was submitted, and what a shell is to run."""
    if env == "oar":
        return "\n".join(words), words[-1]
    text = sys.stdin.read() if env == "lsf" else Path(words[-1]).read_text()
    if env != "htcondor":
        return text, text
    (quoted,) = re.findall(r'^Arguments = "(.*)"$', text, flags=re.MULTILINE)
    assert re.search(r"^Executable = /bin/sh$", text, flags=re.MULTILINE)
    found = re.findall(r"'((?:[^']|'')*)'|(\S+)", quoted)
    words = [(a.replace("''", "'") or b).replace('""', '"') for a, b in found]
    assert words[0] == "-c"
    return text, words[1]


def _submit(folder: Path, env: str, words: list[str]) -> None:
    submitted, script = _script(env, words)
    command = ["/bin/sh", "-c", script]
    if (folder / "stuck").exists():
        command = ["/bin/sh", "-c", "exec sleep 0"]
    with (folder / "jobs.log").open("a") as log:
        job = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (folder / f"script-{job.pid}").write_text(submitted)
    with (folder / "submitted").open("a") as stream:
        stream.write(f"{job.pid}\n")
    sys.stdout.write(COMMANDS[env][2].format(id=job.pid) + "\n")


def _cancel(folder: Path, job: str) -> None:
    with (folder / "cancelled").open("a") as stream:
        stream.write(job.split(".")[0] + "\n")
    try:
        os.killpg(int(job.split(".")[0]), signal.SIGKILL)
    except ProcessLookupError:
        sys.exit(1)


if __name__ == "__main__":
    place, system, name, *arguments = sys.argv[1:]
    if name == COMMANDS[system][0]:
        _submit(Path(place), system, arguments)
    else:
        _cancel(Path(place), arguments[-1])
