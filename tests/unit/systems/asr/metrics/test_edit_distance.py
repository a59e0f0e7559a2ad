from __future__ import annotations

import jiwer
from hypothesis import given
from hypothesis import strategies as st

from espnet3.systems.asr.metrics.edit_distance import (
    EditCounts,
    Vocabulary,
    align,
    count_edits,
    format_alignment,
)

words = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=9)


def edits(ref, hyp):
    vocabulary = Vocabulary()
    return align(vocabulary.encode(ref), vocabulary.encode(hyp))


def test_tokens_keep_their_numbers():
    vocabulary = Vocabulary()
    assert vocabulary.encode(["x", "y", "x"]) == [0, 1, 0]
    assert vocabulary.encode(["y", "z"]) == [1, 2]


@given(ref=words.filter(bool), hyp=words)
def test_counts_agree_with_an_independent_tool(ref, hyp):
    expected = jiwer.process_words(" ".join(ref), " ".join(hyp))
    counts = count_edits(edits(ref, hyp))
    assert counts.hits == expected.hits
    assert counts.errors == expected.substitutions + expected.deletions + expected.insertions
    assert counts.substitutions == expected.substitutions


@given(ref=words, hyp=words)
def test_spans_cover_both_sides_in_order(ref, hyp):
    spans = edits(ref, hyp)
    assert [i for _, start, end, *_ in spans for i in range(start, end)] == list(range(len(ref)))
    assert [i for *_, start, end in spans for i in range(start, end)] == list(range(len(hyp)))
    counts = count_edits(spans)
    assert counts.reference_length == len(ref)
    assert counts.hits + counts.substitutions + counts.insertions == len(hyp)
    assert abs(len(ref) - len(hyp)) <= counts.errors <= max(len(ref), len(hyp))


@given(ref=words, hyp=words)
def test_the_readable_alignment_shows_every_token_and_edit(ref, hyp):
    spans = edits(ref, hyp)
    top, middle, bottom = format_alignment(ref, hyp, spans).split("\n")
    assert [w for w in top.split()[1:] if "*" not in w] == ref
    assert [w for w in middle.split()[1:] if "*" not in w] == hyp
    assert len(bottom.split()) == count_edits(spans).errors


def test_columns_line_up():
    ref, hyp = ["the", "cat", "sat"], ["a", "cat"]
    assert format_alignment(ref, hyp, edits(ref, hyp)) == (
        "REF: the cat sat\nHYP: a   cat ***\n     S       D"
    )


def test_counts_add_up():
    total = EditCounts(substitutions=1, hits=2) + EditCounts(deletions=3, insertions=4)
    assert (total.errors, total.reference_length) == (8, 6)
