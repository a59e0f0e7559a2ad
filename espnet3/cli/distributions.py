"""Installed distributions: versions, and who else owns our packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass

from espnet3.utils.package_requirements import MALICIOUS, Requirement, read_requirements

OWN_PACKAGES = ("espnet3", "egs3")


@dataclass(frozen=True)
class PackageState:
    """Whether a package that something needs can be used."""

    module: str
    version: str | None = None
    """``None`` when it is absent, or belongs to no distribution."""
    problem: str | None = None
    remedy: str | None = None
    extra: str | None = None
    """Extra that installs it, when it is missing."""

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.module} {self.version}" if self.version else self.module


@dataclass(frozen=True)
class Collision:
    """Another distribution with files in one of our packages."""

    distribution: str
    package: str
    num_files: int
    is_overwriting: bool
    """Whether it has files of the same name as ours in the same place."""


def inspect_package(module: str) -> PackageState:
    """Look at a package without importing it."""
    requirement = read_requirements().get(module)
    try:
        is_present = importlib.util.find_spec(module) is not None
    except ValueError:  # a module that was put into sys.modules by hand
        is_present = True
    if not is_present:
        return _missing(module, requirement)
    version = _version(requirement.distribution if requirement else module)
    if requirement is None or version is None:
        return PackageState(module, version)
    if version in MALICIOUS.get(requirement.distribution, ()):
        return PackageState(
            module,
            version,
            f"{requirement.distribution} {version} is a malicious release",
            f"pip uninstall {requirement.distribution}; replace every secret that this machine "
            f"held; then {requirement.install_command()}",
        )
    if not requirement.admits(version):
        problem = f"{requirement.distribution} {version} is not {requirement.bounds}"
        command = f'pip install "{requirement.distribution}{requirement.bounds}"'
        return PackageState(module, version, problem, command)
    return PackageState(module, version)


def find_collisions() -> list[Collision]:
    """Return the other distributions that own files of our packages, from their file lists."""
    owned = {d: _own_files(d) for d in importlib.metadata.distributions()}
    ours = {
        (str(d.locate_file("")), file)
        for d, files in owned.items()
        if _name(d) == "espnet3"
        for file in files
    }
    collisions = {}
    for distribution, files in owned.items():
        label = f"{_name(distribution)} {distribution.version}"
        place = str(distribution.locate_file(""))
        for package in OWN_PACKAGES:
            below = [file for file in files if file.startswith(f"{package}/")]
            if below and _name(distribution) != "espnet3":
                overwriting = any((place, file) in ours for file in below)
                collisions[label, package] = Collision(label, package, len(below), overwriting)
    return list(collisions.values())


def _missing(module: str, requirement: Requirement | None) -> PackageState:
    if requirement is None:
        problem = f"no module named {module!r}"
        remedy = f"install the package that provides {module!r}; espnet3 has no extra for it"
        return PackageState(module, problem=problem, remedy=remedy)
    problem = f"{requirement.distribution} is not installed"
    command = requirement.install_command()
    return PackageState(module, problem=problem, remedy=command, extra=requirement.extra)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _name(distribution: importlib.metadata.Distribution) -> str:
    return re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()


def _own_files(distribution: importlib.metadata.Distribution) -> list[str]:
    """Return the files of a distribution in our packages; parsing all of them takes seconds."""
    text = distribution.read_text("RECORD") or distribution.read_text("SOURCES.txt") or ""
    prefixes = tuple(f"{package}/" for package in OWN_PACKAGES)
    return [line.partition(",")[0] for line in text.splitlines() if line.startswith(prefixes)]
