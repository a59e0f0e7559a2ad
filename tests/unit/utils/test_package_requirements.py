"""Requirements come from the project's metadata and nowhere else."""

from __future__ import annotations

import ast
import importlib.metadata
import tomllib

import pytest

from espnet3.utils import package_requirements
from espnet3.utils.package_requirements import MALICIOUS, Requirement, install_command
from tests.conftest import REPO_ROOT

read_requirements = package_requirements.read_requirements.__wrapped__


@pytest.mark.parametrize(
    ("bounds", "version", "expected"),
    [
        (">=2.6,!=2.6.2,!=2.6.3", "2.6", True),
        (">=2.6,!=2.6.2,!=2.6.3", "2.6.2", False),
        (">=2.6,!=2.6.2,!=2.6.3", "2.6.20", True),
        (">=2.6,!=2.6.2,!=2.6.3", "2.5.9", False),
        (">=2.11", "2.13.0+cpu", True),
        (">=2.11", "2.9.1", False),
        (">=1.3.2,<1.4", "1.4", False),
        (">=1.3.2,<1.4", "1.3.10", True),
        ("==1.0", "1.0.0", True),
        (">=6", "6.0rc1", True),
        ("", "anything", True),
    ],
)
def test_bounds_are_compared_number_by_number(bounds, version, expected):
    assert Requirement("x", bounds, None).admits(version) is expected


def test_a_checkout_is_read_from_its_project_file():
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    found = read_requirements()
    core = {item.distribution for item in found.values() if item.extra is None}
    assert len(core) == len(project["dependencies"])
    assert found["hydra"].distribution == "hydra-core"
    assert found["espeakng_loader"].install_command() == 'pip install "espnet3[digits]"'
    assert found["distributed"] is found["dask"]
    assert "dask[distributed]>=" in found["dask"].install_command()
    assert "pytest" not in found and "sphinx" not in found


def test_an_installation_is_read_from_what_the_installer_recorded(monkeypatch, tmp_path):
    expected = read_requirements()
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    recorded = list(project["dependencies"])
    for extra, texts in project["optional-dependencies"].items():
        recorded += [f"{text} ; extra == '{extra}'" for text in texts]
    monkeypatch.setattr(package_requirements.espnet3, "__file__", str(tmp_path / "a/__init__.py"))
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: recorded)
    assert read_requirements() == expected


def test_malicious_releases_are_outside_the_bounds():
    found = {item.distribution: item for item in read_requirements().values()}
    for distribution, versions in MALICIOUS.items():
        assert not any(found[distribution].admits(version) for version in versions)


def test_several_extras_are_one_command():
    assert install_command(["loggers", "demo", "demo"]) == 'pip install "espnet3[demo,loggers]"'


def test_errors_of_optional_packages_name_the_extra_that_has_them():
    found = read_requirements()
    calls = []
    for path in [*(REPO_ROOT / "espnet3").rglob("*.py"), *(REPO_ROOT / "egs3").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            is_call = isinstance(node, ast.Call) and ast.unparse(node.func) == "require_package"
            if is_call and isinstance(node.args[0], ast.Constant):
                extra = next(k.value for k in node.keywords if k.arg == "extra")
                if isinstance(extra, ast.Constant):
                    calls.append((node.args[0].value.partition(".")[0], extra.value))
    assert calls
    for module, extra in calls:
        assert found[module].extra == extra
