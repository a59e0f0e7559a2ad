"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no reason to fail: time is not what these tests are about.
settings.register_profile("repo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repo")

REPO_ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = REPO_ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real speech beside the checkout; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real speech data (../shared/data) is not on this machine")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _single_torch_thread(request: pytest.FixtureRequest) -> None:
    """Keep parallel test workers from fighting over cores, without importing torch for it."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
