from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from espnet3.utils.log_reference import check_log_mapping, lookup, resolve_log_dir

SYSTEM = SimpleNamespace(
    training_config=OmegaConf.create(
        {
            "exp_dir": "exp",
            "must": "???",
            "broken": "${nowhere}",
            "none": None,
            "blank": " ",
            "n": 3,
        }
    ),
    metrics_config=None,
)


@pytest.mark.parametrize(
    "reference",
    [
        "training_config.must",
        "training_config.broken",
        "training_config.none.deeper",
        "training_config.absent.deeper",
        "metrics_config.inference_dir",
        "nothing.at.all",
    ],
)
def test_lookup_never_raises(reference):
    assert lookup(SYSTEM, reference) is None


def test_a_property_that_fails_leads_nowhere():
    class Recipe:
        def phase(self): ...

        @property
        def phase_config(self):
            return {}["easy"]

    reference = "phase_config.exp_dir"
    assert resolve_log_dir(Recipe(), reference) is None
    assert list(check_log_mapping(Recipe(), {"phase": reference})) == []


@pytest.mark.parametrize(
    ("reference", "folder"),
    [
        ("training_config.exp_dir", Path("exp")),
        (["training_config.none", "training_config.exp_dir"], Path("exp")),
        (("nothing", ["training_config.blank", "training_config.exp_dir"]), Path("exp")),
        (Path("literal"), Path("literal")),
        ("training_config.blank", None),
        ("training_config.n", None),
        (3, None),
        (None, None),
        ([], None),
    ],
)
def test_log_references(reference, folder):
    assert resolve_log_dir(SYSTEM, reference) == folder
