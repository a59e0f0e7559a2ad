"""Examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import espnet3

# Importing these needs ESPnet2; they have no examples.
TASKS = {"espnet3.systems.asr.task", "espnet3.systems.asr.transducer_task"}
MODULES = sorted({m.name for m in pkgutil.walk_packages(espnet3.__path__, "espnet3.")} - TASKS)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_module(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert result.failed == 0
