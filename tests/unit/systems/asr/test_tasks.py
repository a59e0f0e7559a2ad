from __future__ import annotations

import importlib

import pytest

from espnet3.errors import MissingDependencyError
from espnet3.utils.target_aliases import is_espnet2_installed


@pytest.mark.skipif(is_espnet2_installed(), reason="tests/espnet2 tests them with ESPnet2")
@pytest.mark.parametrize("name", ["task", "transducer_task"])
def test_without_espnet2_importing_a_task_says_how_to_install_it(name):
    with pytest.raises(MissingDependencyError, match=r"(?s)task needs.*espnet3\[espnet2\]"):
        importlib.import_module(f"espnet3.systems.asr.{name}")
