"""Imports of a recipe's code are read from its source."""

from __future__ import annotations

from espnet3.cli.code_imports import find_imports

CODE = """
from __future__ import annotations

import json
import pandas as pd
from typing import TYPE_CHECKING
from .other import x
from espnet3.errors import DataError
from src.model import Y

if TYPE_CHECKING:
    import polars

try:
    import ujson
except ImportError:
    ujson = None

_PACKAGE = "espeakng_loader"

def build():
    import librosa.effects
    require_package(_PACKAGE, extra="digits", feature="speech")
    import_utils.require_package("lhotse", extra="lhotse", feature="cuts")
    require_package(computed())
"""


def test_outside_packages_are_found_with_their_place(tmp_path):
    file = tmp_path / "builder.py"
    file.write_text(CODE)
    found = {(item.module, item.is_late) for item in find_imports([file])}
    assert found == {
        ("pandas", False),
        ("librosa", True),
        ("espeakng_loader", True),
        ("lhotse", True),
    }
    assert next(i.line for i in find_imports([file]) if i.module == "pandas") == 5


def test_a_file_that_is_no_python_is_left_to_python(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("def (:\n")
    assert find_imports([file]) == []
