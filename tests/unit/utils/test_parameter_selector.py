from __future__ import annotations

import pytest

from espnet3.errors import SettingError
from espnet3.utils.parameter_selector import matches, select

NAMES = ["encoder.layer1.weight", "encoder.layer1.bias", "decoder_encoder.weight"]


@pytest.mark.parametrize(
    ("name", "selector", "expected"),
    [
        ("model.encoder.0.weight", "encoder", True),
        ("model.decoder_encoder.weight", "encoder", False),
        ("model.encoder.layer1.bias", "encoder.layer1", True),
        ("model.encoder.layer10.bias", "encoder.layer1", False),
        ("model.encoderX0.weight", "encoder.0", False),
        ("bias", "bias", True),
    ],
)
def test_selectors_match_on_dot_boundaries_as_plain_text(name, selector, expected):
    assert matches(name, selector) is expected


def test_select_keeps_order_and_takes_lists():
    assert select(NAMES, ["bias", "decoder_encoder"], key="freeze") == NAMES[1:]


def test_selector_without_match_names_the_nearest_part():
    with pytest.raises(SettingError, match="freeze = 'encodr'.*\n.*\"encoder\""):
        select(NAMES, "encodr", key="freeze")
