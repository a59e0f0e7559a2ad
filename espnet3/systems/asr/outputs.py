"""From n-best lists of a recogniser to records of the ``infer`` stage and of sessions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from espnet3.errors import ModelOutputError
from espnet3.utils.import_utils import trusted_target


@trusted_target
def build_output(data: Any, model_output: Any, idx: Any) -> Any:
    """Make a record of the best hypothesis.

    Args:
        data: Sample; ``utt_id`` and ``text`` (the reference) are used if they are there. A list
            of samples for a batch.
        model_output: n-best list ``[(text, tokens, token_ids, score), …]``, the best first; a list
            of such lists for a batch.
        idx: Index of the sample, the id of samples without one; a list for a batch.

    Returns:
        ``{"utt_id", "hyp"[, "ref"]}``, or a list of them for a batch.

    Raises:
        ModelOutputError: If ``model_output`` is not an n-best list.

    Example:
        >>> build_output({"speech": [0.0]}, [("hello", ["hello"], [3], -0.1)], 7)
        {'utt_id': '7', 'hyp': 'hello'}
    """
    return _build(data, model_output, idx, lambda nbest: nbest[0][0])


@trusted_target
def build_scored_output(data: Any, model_output: Any, idx: Any) -> Any:
    """Make a record of the best hypothesis, and of how sure the recogniser is.

    Arguments are those of :func:`build_output`.

    Returns:
        ``{"utt_id", "hyp"[, "ref"], "confidence"}``, or a list of them for a batch. The confidence
        is the probability of the hypothesis per symbol, a geometric mean, in [0, 1]. It is no
        calibrated probability of being right.

    Example:
        >>> build_scored_output({}, [("one", ["one"], [3], -0.105)], 7)
        {'utt_id': '7', 'hyp': 'one', 'confidence': 0.9}
    """
    records = build_output(data, model_output, idx)
    if isinstance(idx, list):
        rows = zip(records, model_output, strict=True)
        return [record | {"confidence": _confidence(nbest[0])} for record, nbest in rows]
    return records | {"confidence": _confidence(model_output[0])}


def _confidence(hypothesis: Sequence[Any]) -> float:
    _, _, token_ids, score = hypothesis
    return round(min(1.0, math.exp(float(score) / max(1, len(token_ids)))), 3)


@trusted_target
def build_output_transducer(data: Any, model_output: Any, idx: Any) -> Any:
    """Make a record of a transducer's result, whose first entry is the text.

    Arguments and result are those of :func:`build_output`, except that ``model_output`` is
    ``(text, …)``.
    """
    return _build(data, model_output, idx, lambda result: result[0])


def _build(data: Any, model_output: Any, idx: Any, read_text: Callable[[Any], Any]) -> Any:
    if isinstance(idx, list):
        rows = zip(data, model_output, idx, strict=True)
        return [_build_record(*row, read_text) for row in rows]
    return _build_record(data, model_output, idx, read_text)


def _build_record(
    data: Mapping[str, Any], output: Any, idx: Any, read_text: Callable[[Any], Any]
) -> dict[str, Any]:
    # A text is a sequence too: its first letter must not pass for a hypothesis.
    if isinstance(output, str) or not isinstance(output, Sequence) or not output:
        raise ModelOutputError(f"expected hypotheses, best first, got {output!r}")
    hypothesis = read_text(output)
    if not isinstance(hypothesis, str):
        raise ModelOutputError(
            f"expected the text of the best hypothesis, got {type(hypothesis).__name__}"
        )
    record = {"utt_id": str(data.get("utt_id", idx)), "hyp": hypothesis}
    if isinstance(data.get("text"), str):
        record["ref"] = data["text"]
    return record
