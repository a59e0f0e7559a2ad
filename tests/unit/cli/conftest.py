"""The wheel of the working tree, built once."""

from __future__ import annotations

import pytest

from tests import wheel


@pytest.fixture(scope="session")
def built_wheel(tmp_path_factory):
    return wheel.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def commands(built_wheel, tmp_path_factory):
    """Folder with the commands ``python`` and ``espnet3`` of an environment with the wheel."""
    return wheel.install_wheel(built_wheel, tmp_path_factory.mktemp("installed") / "env")
