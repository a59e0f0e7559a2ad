"""The lock file satisfies pixi.toml on every platform that it names."""

from __future__ import annotations

import tomllib

import pytest
from rattler import LockFile, MatchSpec

from tests.conftest import REPO_ROOT

MANIFEST = tomllib.loads((REPO_ROOT / "pixi.toml").read_text())
PLATFORMS = MANIFEST["workspace"]["platforms"]


def _records(platform: str) -> list:
    environment = LockFile.from_path(REPO_ROOT / "pixi.lock").default_environment()
    (found,) = [p for p in environment.platforms() if str(p) == platform]
    return environment.conda_repodata_records_for_platform(found)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_lock_satisfies_manifest_and_its_own_dependencies(platform: str) -> None:
    records = _records(platform)
    wanted = [f"{name} {spec}" for name, spec in MANIFEST["dependencies"].items()]
    # Virtual packages (__glibc, __unix, …) describe the machine, not something to install.
    wanted += [d for r in records for d in r.depends if not d.startswith("__")]
    unmet = [spec for spec in wanted if not any(MatchSpec(spec).matches(r) for r in records)]
    assert unmet == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_lock_names_each_package_once_with_a_checksum(platform: str) -> None:
    records = _records(platform)
    names = [r.name.normalized for r in records]
    assert len(names) == len(set(names))
    assert all(r.sha256 and f"/{r.subdir}/" in r.url for r in records)
    assert {r.subdir for r in records} <= {platform, "noarch"}


def test_python_version_file_agrees_with_manifest() -> None:
    version = (REPO_ROOT / ".python-version").read_text().strip()
    assert MANIFEST["dependencies"]["python"] == f"{version}.*"
