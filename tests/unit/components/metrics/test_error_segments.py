from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.metrics.error_segments import iter_error_segments

marks = st.lists(st.sampled_from("SDI-"), max_size=14)


def spans(marks):
    """One edit per reference token; an insertion stands before its token."""
    return [(m, i, i + (m != "I"), i, i + (m != "D")) for i, m in enumerate(marks) if m != "-"]


def slow_segments(ours, theirs, length, min_correct):
    """Walk over the tokens: a run of correct ones closes a segment."""
    found, current, run = [], None, 0
    for place in range(length):
        marks = [m[place] if place < len(m) else "-" for m in (ours, theirs)]
        if "I" in marks:
            if current is not None and run >= min_correct:
                found.append(current)
                current = None
            current = current or [0, 0]
            current = [c + (m == "I") for c, m in zip(current, marks, strict=True)]
            run = 0
        wrong = [m in ("S", "D") for m in marks]
        if any(wrong):
            if current is not None and run >= min_correct:
                found.append(current)
                current = None
            current = current or [0, 0]
            current = [c + w for c, w in zip(current, wrong, strict=True)]
            run = 0
        else:
            run += 1
    return [tuple(c) for c in [*found, *([current] if current else [])]]


@given(ours=marks, theirs=marks, min_correct=st.integers(1, 4))
def test_segments_agree_with_a_walk_over_the_tokens(ours, theirs, min_correct):
    length = max(len(ours), len(theirs))
    got = list(iter_error_segments(spans(ours), spans(theirs), min_correct=min_correct))
    assert got == slow_segments(ours, theirs, length, min_correct)
    assert sum(a for a, _ in got) == len(spans(ours))
    assert sum(b for _, b in got) == len(spans(theirs))


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([], [], []),
        ([("S", 0, 3, 0, 3)], [], [(3, 0)]),
        ([("S", 0, 1, 0, 1)], [("S", 2, 3, 2, 3)], [(1, 1)]),
        ([("S", 0, 1, 0, 1)], [("S", 3, 4, 3, 4)], [(1, 0), (0, 1)]),
        ([("I", 2, 2, 2, 5)], [("D", 0, 4, 0, 0)], [(3, 4)]),
    ],
)
def test_two_correct_tokens_separate_segments(ours, theirs, expected):
    assert list(iter_error_segments(ours, theirs)) == expected
