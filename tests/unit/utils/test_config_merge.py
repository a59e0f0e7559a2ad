from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.utils.config_merge import Layer, add_convert, finish, merge


def merged(base: dict[str, Any], over: dict[str, Any]) -> Any:
    return finish(merge(Layer(base), Layer(over))).content


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ({"x": 1, "y": {"z": 1}}, {"y": {"w": 2}}, {"x": 1, "y": {"z": 1, "w": 2}}),
        ([1, 2, 3], [4], [4]),
        ({"x": 1}, 5, 5),
        ({"x": 1}, None, None),
        ([1], None, None),
        (None, {"x": 1}, {"x": 1}),
        (None, [1], [1]),
        (3, {"x": 1}, {"x": 1}),
        ([3], {"x": 1}, {"x": 1}),
        ("${other}", {"x": 1}, {"x": 1}),
        ({"x": 1}, "${other}", "${other}"),
        ({"x": 1}, "???", {"x": 1}),
        ("???", 1, 1),
    ],
)
def test_merge_table(base: Any, over: Any, expected: Any) -> None:
    assert merged({"k": base}, {"k": over}) == {"k": expected}


def test_missing_that_nobody_fills_survives() -> None:
    assert merged({}, {"k": "???"}) == {"k": "???"}


def test_convert_is_added_to_targets_and_only_there() -> None:
    tree = {
        "a": {"_target_": "x", "b": [{"_target_": "y", "_convert_": "none"}, {"z": {}}]},
        "c": {"d": {"_target_": "w"}},
    }
    assert add_convert(tree) == {
        "a": {
            "_target_": "x",
            "_convert_": "all",
            "b": [{"_target_": "y", "_convert_": "none"}, {"z": {}}],
        },
        "c": {"d": {"_target_": "w", "_convert_": "all"}},
    }


leaves = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
trees = st.recursive(
    st.dictionaries(st.sampled_from("abc"), leaves, max_size=3),
    lambda children: st.dictionaries(st.sampled_from("abc"), leaves | children, max_size=3),
    max_leaves=8,
)


@given(trees, trees, trees)
def test_merging_is_idempotent_and_changes_nothing(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    a, b, c = Layer(first), Layer(second), Layer(third)
    before = repr((first, second, third))
    assert merge(a, a).content == first
    assert merge(Layer(), a).content == first == merge(a, Layer()).content
    assert merge(merge(a, b), b).content == merge(a, b).content
    assert repr((first, second, third)) == before
    result = merge(merge(a, b), c).content
    assert all(result[key] == value for key, value in third.items() if not isinstance(value, dict))
