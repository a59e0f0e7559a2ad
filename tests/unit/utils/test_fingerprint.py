from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from espnet3.utils.fingerprint import canonical_json, fingerprint, fingerprint_file

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def reorder(value: Any) -> Any:
    """Return an equal value with its mappings in another order and tuples for lists."""
    if isinstance(value, dict):
        return {key: reorder(value[key]) for key in reversed(list(value))}
    return tuple(map(reorder, value)) if isinstance(value, list) else value


@given(values)
def test_the_order_of_keys_and_the_kind_of_sequence_do_not_matter(value: Any) -> None:
    assert fingerprint(reorder(value)) == fingerprint(value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, True),
        (1, 1.0),
        (0, None),
        ("1", 1),
        ([1, 2], [2, 1]),
        ({}, []),
        (float("nan"), "nan"),
        (float("inf"), float("-inf")),
    ],
)
def test_different_values_differ(first: Any, second: Any) -> None:
    assert fingerprint(first) != fingerprint(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Path("a/b"), "a/b"),
        ({Path("a"): 1, 2: 3}, {"a": 1, "2": 3}),
        ({"x", "y"}, ["x", "y"]),
        (OmegaConf.create({"a": 1, "b": "${a}"}), {"a": 1, "b": 1}),
    ],
)
def test_equivalent_values_are_equal(first: Any, second: Any) -> None:
    assert fingerprint(first) == fingerprint(second)


def test_the_format_does_not_drift() -> None:
    text = '{"a":[1,2.5,null,"ä"],"b":true}'
    assert canonical_json({"b": True, "a": (1, 2.5, None, "ä")}) == text
    assert fingerprint({"b": True, "a": (1, 2.5, None, "ä")}) == (
        hashlib.sha256(text.encode()).hexdigest()
    )


@pytest.mark.parametrize("value", [object(), {"a": [b"x"]}, {(1, 2): 3}])
def test_what_is_not_plain_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="fingerprint"):
        fingerprint(value)


def test_files_are_hashed_by_content_and_again_when_changed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert fingerprint_file(path) == hashlib.sha256(b"abc").hexdigest()
    path.write_bytes(b"abcd")
    assert fingerprint_file(str(path)) == hashlib.sha256(b"abcd").hexdigest()
    with pytest.raises(FileNotFoundError):
        fingerprint_file(tmp_path / "missing")


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    first = fingerprint_file(path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(Path, "open", refuse)
    assert fingerprint_file(path) == first
