from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from espnet3.utils.import_utils import import_object
from espnet3.utils.slot_schema import SLOT_KEYS
from espnet3.utils.stage_table import SLOT_FILES

CLASSES = sorted(
    {key.settings for keys in SLOT_KEYS.values() for key in keys.values() if key.settings}
)


@pytest.mark.parametrize("path", CLASSES)
def test_every_settings_class_exists(path: str) -> None:
    assert dataclasses.is_dataclass(import_object(path))


def test_settings_classes_load_without_heavy_packages() -> None:
    code = (
        "import sys; from espnet3.utils.import_utils import import_object;"
        f"[import_object(path) for path in {CLASSES!r}];"
        "heavy = {'torch', 'lightning', 'numpy', 'dask', 'hydra', 'huggingface_hub', 'soundfile'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_every_slot_has_a_schema() -> None:
    assert {f"{slot}_config" for slot in SLOT_KEYS} == set(SLOT_FILES)
