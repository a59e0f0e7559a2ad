"""Build the wheel of the working tree and install it beside the packages of this environment."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import REPO_ROOT

PACKAGES = ("espnet3", "egs3")
MADE = ("data", "exp", "downloads", "logs")
"""Folders of a recipe that its stages make."""


def source_files() -> set[Path]:
    """Return what the wheel should hold, relative to the root of the checkout."""
    files = set()
    for name in PACKAGES:
        for path in (REPO_ROOT / name).rglob("*"):
            parts = path.relative_to(REPO_ROOT).parts
            is_made = name == "egs3" and len(parts) > 3 and parts[3] in MADE
            if path.is_file() and "__pycache__" not in parts and not is_made:
                files.add(Path(*parts))
    return files


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy, because building leaves files in the source tree."""
    if int(importlib.metadata.version("setuptools").partition(".")[0]) < 77:
        pytest.skip("the installed setuptools is older than the build needs (77)")
    source = folder / "source"
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO_ROOT / name, source)
    for path in source_files():
        copy = source / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO_ROOT / path, copy)
    _pip("wheel", "--no-build-isolation", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("espnet3-*.whl")
    return wheel


def install_wheel(wheel: Path, folder: Path) -> Path:
    """Install a wheel into a new environment; return the folder of its commands."""
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # What the wheel depends on comes from here; a path that is named this way adds no `.pth` files,
    # so an editable installation of the working tree stays invisible.
    (site / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    binaries = folder / "bin"
    _pip("--python", binaries / "python", "install", wheel)
    return binaries


def install_core(wheel: Path, folder: Path) -> Path:
    """Install a wheel and what it requires, nothing else, into a new environment.

    The packages are links to those of this environment, so neither network nor room is needed.

    Returns:
        The interpreter.
    """
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    _pip("--python", folder / "bin" / "python", "install", wheel)
    installed = importlib.metadata.Distribution.at(next(site.glob("espnet3-*.dist-info")))
    for distribution in _required_by(installed):
        for entry in distribution.files or ():
            top = entry.parts[0]
            link = site / top
            if top not in ("..", "__pycache__") and link.suffix != ".pth" and not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python"


def _required_by(root: importlib.metadata.Distribution) -> list[importlib.metadata.Distribution]:
    """Return what a distribution requires without its extras, directly or through others."""
    found: dict[tuple[str, frozenset[str]], importlib.metadata.Distribution] = {}
    waiting = [(root, frozenset({""}))]
    while waiting:
        distribution, extras = waiting.pop()
        for text in distribution.requires or ():
            needed = Requirement(text)
            marker = needed.marker
            if marker is not None and not any(marker.evaluate({"extra": e}) for e in extras):
                continue
            key = (needed.name.lower(), frozenset({"", *needed.extras}))
            if key not in found:
                found[key] = importlib.metadata.distribution(needed.name)
                waiting.append((found[key], key[1]))
    return list(found.values())


def run_outside(
    command: list[object], cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of such an environment without a trace of the checkout."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


def _pip(*words: object) -> None:
    position = 2 if words[0] == "--python" else 0
    options = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    command = [*words[: position + 1], *options, *words[position + 1 :]]
    subprocess.run([sys.executable, "-m", "pip", *map(str, command)], check=True)
