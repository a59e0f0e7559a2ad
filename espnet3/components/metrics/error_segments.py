"""Segments of a reference in which one of two hypotheses errs, as the matched-pairs test needs."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from espnet3.components.metrics.utterance_records import EditSpan


def iter_error_segments(
    edits: Sequence[EditSpan], baseline_edits: Sequence[EditSpan], *, min_correct: int = 2
) -> Iterator[tuple[int, int]]:
    """Yield the errors of both hypotheses in each segment of one utterance.

    Two segments are apart where both hypotheses have so many reference tokens in a row right that
    errors on either side may count as independent (Gillick and Cox, 1989). Segments end with the
    utterance.

    Args:
        edits: Spans in which the hypothesis differs from the reference, in order.
        baseline_edits: The same for the baseline and the same reference.
        min_correct: Correct reference tokens that separate two segments.

    Example:
        >>> ours = [("S", 0, 1, 0, 1), ("D", 5, 6, 5, 5)]
        >>> list(iter_error_segments(ours, [("I", 2, 2, 2, 4)]))
        [(1, 2), (1, 0)]
    """
    merged = heapq.merge(
        ((start, end, _count(span), 0) for span in edits for start, end in [span[1:3]]),
        ((start, end, 0, _count(span)) for span in baseline_edits for start, end in [span[1:3]]),
    )
    totals, last_end = (0, 0), None
    for start, end, errors, baseline_errors in merged:
        if last_end is not None and start - last_end >= min_correct:
            yield totals
            totals, last_end = (0, 0), None
        totals = (totals[0] + errors, totals[1] + baseline_errors)
        last_end = end if last_end is None else max(last_end, end)
    if last_end is not None:
        yield totals


def _count(span: EditSpan) -> int:
    _, ref_start, ref_end, hyp_start, hyp_end = span
    return max(ref_end - ref_start, hyp_end - hyp_start)
