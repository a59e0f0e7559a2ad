from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.data.collate import CommonCollateFn, expects_uid


def pairs(key, *values, **others):
    return [(str(i), {key: value, **others}) for i, value in enumerate(values)]


def test_arrays_are_padded_and_get_lengths():
    uids, batch = CommonCollateFn(int_pad_value=-1)(
        [
            ("b", {"speech": np.ones(3, np.float32), "text": np.array([4, 5])}),
            ("a", {"speech": np.ones(5, np.float32), "text": np.array([6])}),
        ]
    )
    assert uids == ["b", "a"]
    assert batch["speech"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert batch["speech"].dtype == torch.float32
    assert batch["text"].tolist() == [[4, 5], [6, -1]]
    assert batch["speech_lengths"].tolist() == [3, 5]
    assert batch["text_lengths"].dtype == torch.int64


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("int16", -7), ("uint8", 0), ("bool", False), ("float64", 0.5), ("complex64", 0.5)],
)
def test_padding_follows_the_dtype(dtype, fill):
    collate = CommonCollateFn(float_pad_value=0.5, int_pad_value=-7)
    _, batch = collate(pairs("x", np.ones(2, dtype), np.ones(1, dtype)))
    assert batch["x"].numpy().dtype == dtype
    assert batch["x"][1, 1].item() == fill


def test_trailing_axes_and_tensors():
    _, batch = CommonCollateFn()(pairs("x", torch.ones(2, 4), torch.ones(3, 4)))
    assert batch["x"].shape == (2, 3, 4)
    assert batch["x"][0, 2].sum() == 0


def test_scalars_become_a_vector_without_lengths():
    _, batch = CommonCollateFn()(pairs("x", 1.5, np.float32(2), speaker=3))
    assert batch["x"].tolist() == [1.5, 2.0]
    assert batch["speaker"].tolist() == [3, 3]
    assert set(batch) == {"x", "speaker"}


def test_not_sequence_has_no_lengths():
    collate = CommonCollateFn(not_sequence=["spk"], pad_to_multiple_of=4)
    _, batch = collate(pairs("x", np.ones(5), spk=np.ones(3)))
    assert batch["x"].shape == (1, 8)
    assert batch["spk"].shape == (1, 3)
    assert "spk_lengths" not in batch


def test_strings_are_left_out_unless_passed_through():
    data = pairs("x", np.ones(1), utt_id="u", extra=None, ragged=[[1], [1, 2]])
    assert set(CommonCollateFn()(data)[1]) == {"x", "x_lengths"}
    assert CommonCollateFn(passthrough=["utt_id"])(data)[1]["utt_id"] == ["u"]


def test_samples_that_do_not_fit_together():
    collate = CommonCollateFn()
    with pytest.raises(AssertionError, match=r"'0' has \['x'\], '1' has \['y'\]"):
        collate([("0", {"x": np.ones(1)}), ("1", {"y": np.ones(1)})])
    with pytest.raises(AssertionError, match="reserved"):
        collate(pairs("x_lengths", np.ones(1)))
    with pytest.raises(AssertionError, match=r"'x' differ .* 0: \(1,\), 1: \(1, 2\)"):
        collate(pairs("x", np.ones(1), np.ones((1, 2))))
    with pytest.raises(AssertionError, match="'x' differ"):
        collate(pairs("x", np.ones(1), np.float32(1)))


def test_who_expects_pairs():
    class Own:
        expects_uid = False

    assert expects_uid(CommonCollateFn()) is True
    assert expects_uid(Own()) is False
    assert expects_uid(lambda batch: batch) is None


@given(st.lists(st.lists(st.floats(-1, 1, width=32)), min_size=1, max_size=5))
def test_values_survive_and_the_rest_is_padding(rows):
    arrays = [np.array(row, np.float32) for row in rows]
    _, batch = CommonCollateFn(float_pad_value=9)(pairs("x", *arrays))
    for row, array, length in zip(batch["x"], arrays, batch["x_lengths"], strict=True):
        np.testing.assert_array_equal(row[:length].numpy(), array)
        assert (row[length:] == 9).all()
