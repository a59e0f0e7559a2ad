from __future__ import annotations

import jiwer
from hypothesis import given
from hypothesis import strategies as st

from espnet3.systems.asr.metrics.edit_distance import (
    EditCounts,
    align,
    count_edits,
    format_alignment,
)

words = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=9)


@given(ref=words.filter(bool), hyp=words)
def test_counts_agree_with_an_independent_tool(ref, hyp):
    expected = jiwer.process_words(" ".join(ref), " ".join(hyp))
    counts = count_edits(align(ref, hyp))
    assert counts.hits == expected.hits
    assert counts.errors == expected.substitutions + expected.deletions + expected.insertions
    assert counts.substitutions == expected.substitutions


@given(ref=words, hyp=words)
def test_spans_cover_both_sides_in_order(ref, hyp):
    spans = align(ref, hyp)
    assert [i for _, start, end, *_ in spans for i in range(start, end)] == list(range(len(ref)))
    assert [i for *_, start, end in spans for i in range(start, end)] == list(range(len(hyp)))
    counts = count_edits(spans)
    assert counts.reference_length == len(ref)
    assert counts.hits + counts.substitutions + counts.insertions == len(hyp)
    assert abs(len(ref) - len(hyp)) <= counts.errors <= max(len(ref), len(hyp))


@given(ref=words, hyp=words)
def test_the_readable_alignment_shows_every_token_and_edit(ref, hyp):
    spans = align(ref, hyp)
    top, middle, bottom = format_alignment(ref, hyp, spans).split("\n")
    assert [w for w in top.split()[1:] if "*" not in w] == ref
    assert [w for w in middle.split()[1:] if "*" not in w] == hyp
    assert len(bottom.split()) == count_edits(spans).errors


@given(ref=st.text("abc", max_size=12), hyp=st.text("abc", max_size=12))
def test_a_string_is_its_characters(ref, hyp):
    assert count_edits(align(ref, hyp)) == count_edits(align(list(ref), list(hyp)))


def plain_distance(ref, hyp):
    row = list(range(len(hyp) + 1))
    for i, left in enumerate(ref, start=1):
        previous, row[0] = row[0], i
        for j, right in enumerate(hyp, start=1):
            cheapest = min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
            previous, row[j] = row[j], cheapest
    return row[-1]


@given(ref=words, hyp=words)
def test_no_alignment_is_cheaper(ref, hyp):
    assert count_edits(align(ref, hyp)).errors == plain_distance(ref, hyp)


def test_columns_line_up():
    ref, hyp = ["the", "cat", "sat"], ["a", "cat"]
    assert format_alignment(ref, hyp, align(ref, hyp)) == (
        "REF: the cat sat\nHYP: a   cat ***\n     S       D"
    )


def test_counts_add_up():
    total = EditCounts(substitutions=1, hits=2) + EditCounts(deletions=3, insertions=4)
    assert (total.errors, total.reference_length) == (8, 6)
