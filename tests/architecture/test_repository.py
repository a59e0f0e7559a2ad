"""What may be in the repository, and what may never be in the package."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import REPO_ROOT

SOURCES = sorted((REPO_ROOT / "espnet3").rglob("*.py"))
LARGEST = 300_000


def _tracked_files() -> list[Path]:
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=REPO_ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [REPO_ROOT / name for name in done.stdout.split("\0") if name]


def test_tracked_files_are_small() -> None:
    large = {str(p): p.stat().st_size for p in _tracked_files() if p.is_file()}
    assert {name: size for name, size in large.items() if size > LARGEST} == {}


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"weights_only\s*=\s*False", "a checkpoint must not be able to run code"),
        (r"\byaml\.(load|unsafe_load|full_load)\(", "only the safe loader reads YAML"),
        (r"^\s*(import|from) (torchaudio|torchvision|librosa|jiwer|kaldiio)\b", "not in core"),
        (
            r"^\s*(import|from) (espnet|espnet2|espnetez|espnet_model_zoo)\b",
            "an extra: require_espnet2",
        ),
        (r"\bOptional\[|\bList\[|\bDict\[|\bUnion\[", "3.11 spelling of types"),
    ],
)
def test_package_avoids(pattern: str, why: str) -> None:
    found = [
        f"{path.relative_to(REPO_ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == [], why


def test_every_module_postpones_annotations() -> None:
    lacking = [
        str(path.relative_to(REPO_ROOT))
        for path in SOURCES
        if "def " in path.read_text("utf-8")
        and "from __future__ import annotations" not in path.read_text("utf-8")
    ]
    assert lacking == []


def test_constraints_pin_every_core_dependency_exactly() -> None:
    pinned = {}
    for line in (REPO_ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        pinned[re.sub(r"[-_.]+", "-", name).lower()] = version
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *extras["dev"], *extras["docs"]]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
        assert pinned.get(re.sub(r"[-_.]+", "-", name).lower()), requirement
