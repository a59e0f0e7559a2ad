from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.errors import ModelOutputError
from espnet3.parallel.plain_json import dump_plain


def dump(value):
    return dump_plain(value, what="what `forward` returned", advice="return texts")


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({1, 2}, "it is of type set"),
        ({"a": [0, {1}]}, r"\['a'\]\[1\] is of type set"),
        ([float("nan")], r"\[0\] is nan"),
        ({(1,): 2}, "it has a key of type tuple"),
        ({"a": 1j, "b": b""}, r"\['a'\] is of type complex; \['b'\] is of type bytes"),
    ],
)
def test_the_part_that_is_no_json_is_named_with_what_to_do(value, part):
    with pytest.raises(
        ModelOutputError, match=f"what `forward` returned .*: {part}\n  return texts"
    ):
        dump(value)


def test_a_list_that_holds_itself_is_an_error():
    value = []
    value.append(value)
    with pytest.raises(ModelOutputError, match="Circular"):
        dump(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_what_is_plain_comes_back(value):
    line = dump(value)
    assert "\n" not in line
    assert json.loads(line) == value
