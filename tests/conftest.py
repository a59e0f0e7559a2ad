"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no reason to fail: time is not what these tests are about. The same commit gets
# the same verdict everywhere; `HYPOTHESIS_PROFILE=explore` looks for examples nobody has seen.
_no_deadline = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repo", _no_deadline, derandomize=True)
settings.register_profile("explore", _no_deadline, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repo"))

# Jobs in the background of a shell ignore Ctrl-C, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
