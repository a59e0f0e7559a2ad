"""Packages are judged by what the installer recorded, without importing them."""

from __future__ import annotations

import sys

import pytest

from espnet3.cli.distributions import find_collisions, inspect_package


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages that comes before the others."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def install(name, version, files):
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))
        for file in files:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("raise RuntimeError('imported')\n")

    return install


def test_a_package_within_its_bounds_is_fine():
    state = inspect_package("omegaconf")
    assert state.problem is None and state.label.startswith("omegaconf 2.3")
    assert "torch" not in sys.modules or state.version


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_a_malicious_release_is_called_that(site, version):
    site("lightning", version, ["lightning/__init__.py"])
    state = inspect_package("lightning")
    assert state.problem == f"lightning {version} is a malicious release"
    assert state.remedy.startswith("pip uninstall lightning; replace every secret")
    assert state.remedy.endswith('pip install "lightning>=2.6,!=2.6.2,!=2.6.3"')


def test_a_version_outside_its_bounds_is_a_problem(site):
    site("soxr", "0.1.0", ["soxr/__init__.py"])
    state = inspect_package("soxr")
    assert state.problem == "soxr 0.1.0 is not >=0.5"
    assert state.remedy == 'pip install "soxr>=0.5"'


def test_a_missing_package_names_the_extra_that_has_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    state = inspect_package("gradio")
    assert (state.extra, state.remedy) == ("demo", 'pip install "espnet3[demo]"')
    assert inspect_package("sentencepiece").remedy == 'pip install "sentencepiece>=0.2.0"'
    assert "no extra for it" in inspect_package("somebodys_package").remedy


def test_other_owners_of_our_packages_are_found(site):
    site("espnet", "202511", ["espnet3/__init__.py", "espnet3/old.py", "espnet2/__init__.py"])
    site("harmless", "1.0", ["espnet3_tools/__init__.py"])
    (found,) = [c for c in find_collisions() if c.distribution == "espnet 202511"]
    assert (found.package, found.num_files, found.is_overwriting) == ("espnet3", 2, False)
    assert not any("harmless" in c.distribution for c in find_collisions())


def test_an_owner_of_the_same_files_has_overwritten_ours(site):
    site("espnet", "202511", ["espnet3/__init__.py"])
    site("espnet3", "0.1.0", ["espnet3/__init__.py", "egs3/__init__.py"])
    site("recipes", "2", ["egs3/other.py"])
    found = {c.distribution: c.is_overwriting for c in find_collisions()}
    assert found["espnet 202511"] is True and found["recipes 2"] is False
