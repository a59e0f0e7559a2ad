from __future__ import annotations

import math

import pytest

from espnet3.components.metrics.score_text import format_score


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (2.5, "2.50"), (100.0, "100.00"), (33.33, "33.33"), (0.125, "0.125")],
)
def test_rates_have_two_decimals_and_finer_numbers_keep_theirs(value, text):
    assert format_score(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (math.nan, "nan"), (math.inf, "inf"), (None, "None"), ("a", "a")]
)
def test_what_is_no_rate_is_shown_as_it_is(value, text):
    assert format_score(value) == text
