from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espnet3.components.data.fileio import write_shape
from espnet3.components.data.samplers import build_batch_sampler


def shape_file(tmp_path, lengths, name="feats_shape", dims=()):
    write_shape(tmp_path / name, {str(i): (n, *dims) for i, n in enumerate(lengths)})
    return tmp_path / name


def sizes(sampler):
    return [len(batch) for batch in sampler]


def test_unsorted_keeps_file_order_in_nearly_equal_batches(tmp_path):
    file = shape_file(tmp_path, [5, 3, 9, 1, 7, 2, 8])
    sampler = build_batch_sampler("unsorted", 3, shape_files=[file])
    assert list(sampler) == [("0", "1", "2"), ("3", "4", "5", "6")]
    assert (len(sampler), sampler.generate(1)) == (2, list(sampler))
    assert sizes(build_batch_sampler("unsorted", 3, shape_files=[file], drop_last=True)) == [3, 3]
    assert sizes(build_batch_sampler("unsorted", 9, shape_files=[file])) == [7]


def test_sorted_orders_in_and_between_batches(tmp_path):
    file = shape_file(tmp_path, [5, 3, 9, 1])
    assert list(build_batch_sampler("sorted", 2, shape_files=[file])) == [("1", "3"), ("2", "0")]
    turned = build_batch_sampler(
        "sorted", 2, shape_files=[file], sort_in_batch="ascending", sort_batch="descending"
    )
    assert list(turned) == [("0", "2"), ("3", "1")]


def test_folded_shrinks_batches_of_long_utterances(tmp_path):
    speech = shape_file(tmp_path, [5, 6, 7, 8, 25, 26, 27])
    text = shape_file(tmp_path, [1] * 7, "text_shape")
    (tmp_path / "cat").write_text("".join(f"{i} {'ab'[i % 2]}\n" for i in range(7)))
    options = {"batch_size": 4, "shape_files": [speech, text], "fold_lengths": [10, 10]}
    assert sizes(build_batch_sampler("folded", **options)) == [4, 1, 1, 1]
    split = build_batch_sampler("folded", **options, utt2category_file=tmp_path / "cat")
    assert all(len({int(uid) % 2 for uid in batch}) == 1 for batch in split)
    with pytest.raises(ValueError, match="one value per shape file: 2"):
        build_batch_sampler("folded", 4, shape_files=[speech, text], fold_lengths=[1])


def test_length_closes_after_or_before_the_overflow(tmp_path):
    file = shape_file(tmp_path, [10] * 7)
    soft = {"shape_files": [file], "batch_bins": 25}
    assert sizes(build_batch_sampler("length", **soft)) == [3, 3, 1]
    assert sizes(build_batch_sampler("length", **soft, budget="hard")) == [2, 2, 2, 1]
    assert sizes(build_batch_sampler("length", **soft, min_batch_size=2)) == [3, 4]
    assert sizes(build_batch_sampler("length", **soft, drop_last=True)) == [3, 3]


def test_numel_counts_features_and_several_files(tmp_path):
    feats = shape_file(tmp_path, [10] * 4, dims=(3,))
    text = shape_file(tmp_path, [5] * 4, "text_shape")
    assert sizes(build_batch_sampler("numel", batch_bins=69, shape_files=[feats])) == [3, 1]
    assert sizes(build_batch_sampler("numel", batch_bins=69, shape_files=[feats, text])) == [2, 2]
    write_shape(feats, {"0": (10, 3), "1": (10, 4), "2": (1, 3), "3": (1, 3)})
    with pytest.raises(RuntimeError, match="equal feature dimensions"):
        build_batch_sampler("numel", batch_bins=69, shape_files=[feats])


def test_without_padding_true_lengths_count(tmp_path):
    file = shape_file(tmp_path, [1, 1, 1, 30])
    assert sizes(build_batch_sampler("length", batch_bins=32, shape_files=[file])) == [4]
    loose = build_batch_sampler("length", batch_bins=34, shape_files=[file], padding=False)
    assert sizes(loose) == [4]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"type": "lenght"}, ValueError, '(?s)unsorted, sorted, folded, length.*"length"'),
        ({"type": "sorted", "batch_size": None}, RuntimeError, "batches.batch_size"),
        ({"type": "numel"}, RuntimeError, "batches.batch_bins"),
        ({"batch_size": 0}, AssertionError, "must be positive"),
        ({"shape_files": []}, ValueError, "at least one file"),
        ({"sort_batch": "up"}, ValueError, "sort_batch"),
    ],
)
def test_mistakes(tmp_path, options, error, message):
    file = shape_file(tmp_path, [1])
    base = {"type": "sorted", "batch_size": 2, "shape_files": [file]}
    with pytest.raises(error, match=message):
        build_batch_sampler(**{**base, **options})


def test_bad_shape_files(tmp_path):
    file, other = shape_file(tmp_path, [1, 2]), shape_file(tmp_path, [1], "text_shape")
    with pytest.raises(RuntimeError, match="keys are mismatched"):
        build_batch_sampler("length", batch_bins=3, shape_files=[file, other])
    file.write_text("")
    with pytest.raises(RuntimeError, match="is empty"):
        build_batch_sampler("sorted", 1, shape_files=[file])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
    st.sampled_from(["unsorted", "sorted", "folded", "length", "numel"]),
    st.integers(1, 6),
    st.sampled_from(["soft", "hard"]),
)
def test_every_utterance_comes_exactly_once(tmp_path, lengths, kind, size, budget):
    file = shape_file(tmp_path, lengths)
    sampler = build_batch_sampler(
        kind, size, 20 * size, [file], fold_lengths=[10], min_batch_size=2, budget=budget
    )
    assert sorted(int(uid) for batch in sampler for uid in batch) == list(range(len(lengths)))
