"""What this machine has, found out without importing torch."""

from __future__ import annotations

import ast
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TorchBuild:
    """How the installed torch was built."""

    version: str
    cuda: str | None
    """Version of CUDA, or of ROCm, that it was built for."""


def torch_build() -> TorchBuild | None:
    """Read ``torch/version.py``; ``None`` when there is none."""
    spec = importlib.util.find_spec("torch")
    path = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if path is None or not path.is_file():
        return None
    values: dict[str, str | None] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            values[target.id] = None if value.value is None else str(value.value)
    version = values.get("__version__") or "of unknown version"
    return TorchBuild(version, values.get("cuda") or values.get("hip"))


def count_gpus() -> int:
    """Return the number of NVIDIA or AMD GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    nvidia = Path("/proc/driver/nvidia/gpus")
    nodes = Path("/sys/class/kfd/kfd/topology/nodes")
    count = len(list(nvidia.iterdir())) if nvidia.is_dir() else len(list(_amd_gpus(nodes)))
    if visible is None:
        return count
    return min(count, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))


def has_apple_gpu() -> bool:
    """Tell whether this is a Mac whose GPU torch can use."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


def existing_parent(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    absolute = path.absolute()
    return next(p for p in (absolute, *absolute.parents) if p.exists())


def is_writable(path: Path) -> bool:
    """Tell whether a folder can be written, or made."""
    parent = existing_parent(path)
    return parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)


def free_bytes(path: Path) -> int:
    """Return the free space where a folder is or would be."""
    return shutil.disk_usage(existing_parent(path)).free


def _amd_gpus(nodes: Path) -> list[Path]:
    """Return the nodes with compute units; the others are CPUs."""
    found = []
    for properties in nodes.glob("*/properties"):
        try:
            words = properties.read_text().split()
        except OSError:
            continue
        if "simd_count" in words and words[words.index("simd_count") + 1] != "0":
            found.append(properties)
    return found
