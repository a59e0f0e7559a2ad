from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.data.fileio import (
    escape_uid,
    read_lengths,
    read_shape,
    write_npy,
    write_shape,
)


def test_shapes_survive_the_round_trip(tmp_path):
    shapes = {"utt2": (512, 80), "utt10": (7,), "ütt": (1, 2, 3)}
    write_shape(tmp_path / "s", shapes)
    assert (tmp_path / "s").read_text(encoding="utf-8").startswith("utt2 512,80\nutt10 7\n")
    assert list(read_shape(tmp_path / "s").items()) == list(shapes.items())
    uids, lengths = read_lengths(tmp_path / "s")
    assert (uids, lengths.tolist(), lengths.dtype) == (list(shapes), [512, 7, 1], np.int64)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a 1\na 2\n", "s:2: utterance 'a' is dup"), ("a x\n", "s:1: 'x'"), ("a\n", "s:1: ''")],
)
def test_malformed_lines_are_named(tmp_path, text, message):
    (tmp_path / "s").write_text(text)
    with pytest.raises(RuntimeError, match=message):
        read_shape(tmp_path / "s")


def test_blank_shapes_where_allowed(tmp_path):
    (tmp_path / "s").write_text("a\nb 3\n")
    assert read_shape(tmp_path / "s", allow_blank=True) == {"a": (), "b": (3,)}
    with pytest.raises(FileNotFoundError, match="collect_stats"):
        read_shape(tmp_path / "none")


def test_arrays(tmp_path):
    write_npy(tmp_path / "x.npy", np.arange(3))
    assert np.load(tmp_path / "x.npy").tolist() == [0, 1, 2]


@given(st.text(min_size=1))
def test_escaped_ids_stay_in_their_folder(uid):
    name = escape_uid(uid)
    assert "/" not in name
    assert name not in (".", "..")
    assert Path("folder", name).name == name
