"""The table by which configurations are checked where ESPnet2 is not installed."""

from __future__ import annotations

import json
import os

from espnet3.utils.espnet2_table import TABLE_PATH
from tests.espnet2.table_source import build_table


def test_the_table_says_what_the_installed_version_takes() -> None:
    text = json.dumps(build_table(), indent=1) + "\n"
    if os.environ.get("ESPNET3_WRITE_ESPNET2_TABLE"):
        TABLE_PATH.write_text(text)
    assert TABLE_PATH.read_text() == text
