"""Tests that need ESPnet2 itself; `make test-espnet2` has an environment for them."""

from __future__ import annotations

import importlib.util

# Elsewhere they are left out: .ci/run runs that environment besides the core one.
collect_ignore_glob = [] if importlib.util.find_spec("espnet2") else ["test_*.py"]
