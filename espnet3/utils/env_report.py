"""What a stage ran on: command, code version, packages, hardware and launcher variables."""

from __future__ import annotations

import datetime
import logging
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import espnet3
from espnet3.utils.fingerprint import fingerprint_file
from espnet3.utils.path_utils import write_text
from espnet3.utils.redaction import redact_argument, redact_environment
from espnet3.utils.types import PathLike

FILE_ONLY: dict[str, Any] = {"file_only": True}
"""``extra`` of records that belong in the stage log and would only clutter the console."""

CLUSTER_PREFIXES: tuple[str, ...] = (
    "SLURM_", "PBS_", "LSF_", "SGE_", "COBALT_", "OMPI_", "PMI_", "MPI_",
)  # fmt: skip
RUNTIME_PREFIXES: tuple[str, ...] = (
    "NCCL_", "CUDA_", "ROCM_", "OMP_", "MKL_", "OPENBLAS_", "UCX_", "NVIDIA_",
)  # fmt: skip
RUNTIME_KEYS: tuple[str, ...] = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "RANK", "LOCAL_RANK",
    "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GOMP_SPINCOUNT",
)  # fmt: skip
PACKAGES: tuple[str, ...] = (
    "torch", "lightning", "omegaconf", "hydra-core", "dask", "espnet",
)  # fmt: skip

_GIT_TIMEOUT_SEC = 5.0


def log_run_metadata(
    logger: logging.Logger,
    argv: Sequence[str] | None = None,
    configs: Mapping[str, PathLike | None] | None = None,
    write_requirements: bool = False,
    *,
    stacklevel: int = 1,
) -> None:
    """Log when, where and how this process was started, and which code it runs.

    Args:
        logger: Where to log, at INFO.
        argv: Command line; ``sys.argv`` by default.
        configs: Name of a configuration → its file; ``None`` files are left out.
        write_requirements: Write ``requirements.txt`` next to the active log file.
        stacklevel: Frames between the caller that the log names and this function.
    """
    level = stacklevel + 1
    words = [sys.executable, *map(redact_argument, sys.argv if argv is None else argv)]
    lines = [
        f"Started: {datetime.datetime.now().astimezone().isoformat(timespec='seconds')}",
        f"Command: {shlex.join(words)}",
        f"Python: {sys.version.split()[0]}",
        f"Working directory: {Path.cwd()}",
    ]
    for name, path in (configs or {}).items():
        if path is not None:
            lines.append(f"{name} config: {Path(path).absolute()}")
    git = get_git_metadata()
    if git["commit"] is not None:
        lines.append("Git: " + ", ".join(f"{key}={value}" for key, value in git.items()))
    for line in lines:
        logger.info("%s", line, stacklevel=level, extra=FILE_ONLY)
    if write_requirements:
        _write_requirements(logger, level + 1)


def log_env_metadata(
    logger: logging.Logger,
    cluster_prefixes: Iterable[str] | None = None,
    runtime_prefixes: Iterable[str] | None = None,
    runtime_keys: Iterable[str] | None = None,
    *,
    load_torch: bool = True,
    stacklevel: int = 1,
) -> None:
    """Log launcher and runtime variables and the state of torch.

    Args:
        logger: Where to log, at INFO.
        cluster_prefixes: Prefixes of the variables of cluster schedulers.
        runtime_prefixes: Prefixes of the variables of numerical and communication libraries.
        runtime_keys: Further variables by full name.
        load_torch: Import torch to ask it; otherwise only a torch that is loaded already is asked.
        stacklevel: Frames between the caller that the log names and this function.
    """
    cluster = tuple(CLUSTER_PREFIXES if cluster_prefixes is None else cluster_prefixes)
    runtime = tuple(RUNTIME_PREFIXES if runtime_prefixes is None else runtime_prefixes)
    keys = set(RUNTIME_KEYS if runtime_keys is None else runtime_keys)
    blocks = {
        "Cluster env": [name for name in os.environ if name.startswith(cluster)],
        "Runtime env": [name for name in os.environ if name.startswith(runtime) or name in keys],
    }
    for title, names in blocks.items():
        text = [f"{name}={redact_environment(name, os.environ[name])}" for name in sorted(names)]
        body = "\n".join(text) or "(none)"
        logger.info("%s:\n%s", title, body, stacklevel=stacklevel + 1, extra=FILE_ONLY)
    state = ", ".join(f"{key}={value}" for key, value in _torch_state(load_torch).items())
    logger.info("PyTorch: %s", state, stacklevel=stacklevel + 1, extra=FILE_ONLY)


def get_git_metadata(cwd: PathLike | None = None) -> dict[str, str | None]:
    """Describe the git work tree around a folder; never raises.

    Returns:
        ``commit``, ``short_commit``, ``branch`` and ``worktree`` (``clean``, ``dirty`` or
        ``unknown``); all ``None`` outside a work tree or without git.
    """
    commit = _git(cwd, "rev-parse", "HEAD")
    if commit is None:
        return dict.fromkeys(("commit", "short_commit", "branch", "worktree"))
    status = _git(cwd, "status", "--porcelain")
    worktree = "unknown" if status is None else ("dirty" if status else "clean")
    return {
        "commit": commit,
        "short_commit": commit[:8],
        "branch": _git(cwd, "rev-parse", "--abbrev-ref", "HEAD"),
        "worktree": worktree,
    }


def describe_process() -> dict[str, Any]:
    """Return command line, folder, host, Python, packages, git and GPUs of this process."""
    return {
        "argv": [redact_argument(word) for word in sys.argv],
        "cwd": str(Path.cwd()),
        "host": os.uname().nodename,
        "python": sys.version.split()[0],
        # A checkout on the path has no metadata of its own, or those of another installation.
        "packages": {**package_versions(), "espnet3": espnet3.__version__},
        "git": get_git_metadata(),
        "gpus": _gpus(),
    }


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of the named distributions that this interpreter can see."""
    import importlib.metadata  # costs 0.03 s, which `run.py --help` need not pay

    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def file_sha256(path: PathLike) -> str | None:
    """Return the SHA-256 of a file's content as hex, ``None`` when it cannot be read."""
    try:
        return fingerprint_file(path)
    except OSError:
        return None


def _git(cwd: PathLike | None, *arguments: str) -> str | None:
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_SEC,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _torch_state(load_torch: bool) -> dict[str, Any]:
    if "torch" not in sys.modules and not load_torch:
        version = package_versions(["torch"]).get("torch")
        return {"version": version, "state": "not loaded at the start of this stage"}
    try:
        import torch
    except ImportError:
        return {"version": None, "state": "cannot be imported"}
    cudnn = torch.backends.cudnn
    return {
        "version": torch.__version__,
        "cuda.available": torch.cuda.is_available(),
        "cudnn.version": cudnn.version(),  # type: ignore[no-untyped-call]
        "cudnn.benchmark": cudnn.benchmark,
        "cudnn.deterministic": cudnn.deterministic,
    }


def _gpus() -> list[dict[str, Any]]:
    """Names and memory of the GPUs, asked only of a torch that is loaded already."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    devices = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [{"name": d.name, "memory_bytes": d.total_memory} for d in devices]


def _write_requirements(logger: logging.Logger, stacklevel: int) -> None:
    path = active_log_file()
    if path is None:
        logger.warning(
            "requirements.txt is not written: no log file is open", stacklevel=stacklevel
        )
        return
    import importlib.metadata

    lines = {f"{d.name}=={d.version}" for d in importlib.metadata.distributions() if d.name}
    write_text(path.with_name("requirements.txt"), "\n".join(sorted(lines, key=str.lower)) + "\n")


def active_log_file() -> Path | None:
    """Return the newest log file of the root logger, if it has one."""
    files = [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
    return Path(files[-1].baseFilename) if files else None
