from __future__ import annotations

import pytest

from espnet3.systems.asr.outputs import (
    build_output,
    build_output_transducer,
    build_scored_output,
)
from espnet3.utils.import_utils import TRUSTED_TARGETS

NBEST = [("hello", ["hel", "lo"], [3, 4], -1.0), ("hallo", [], [], -2.0)]


def test_the_best_hypothesis_id_and_reference_make_a_record():
    data = {"utt_id": "a", "text": "hello", "speech": [0.0]}
    assert build_output(data, NBEST, 3) == {"utt_id": "a", "hyp": "hello", "ref": "hello"}


def test_without_id_the_index_counts_and_without_reference_there_is_none():
    assert build_output(data={}, model_output=NBEST, idx=3) == {"utt_id": "3", "hyp": "hello"}
    assert build_output({"text": [5, 6]}, NBEST, 0) == {"utt_id": "0", "hyp": "hello"}


def test_a_batch_gives_a_list():
    records = build_output([{"utt_id": "a"}, {}], [NBEST, NBEST[1:]], [0, 1])
    assert records == [{"utt_id": "a", "hyp": "hello"}, {"utt_id": "1", "hyp": "hallo"}]


def test_the_confidence_is_the_probability_per_symbol():
    record = build_scored_output({"utt_id": "a", "text": "hello"}, NBEST, 0)
    assert record == {"utt_id": "a", "hyp": "hello", "ref": "hello", "confidence": 0.607}
    both = build_scored_output([{}, {}], [NBEST, [("", [], [], 0.0)]], [0, 1])
    assert [record["confidence"] for record in both] == [0.607, 1.0]


def test_transducer_results_start_with_the_text():
    assert build_output_transducer({}, ("hello", 1), 0) == {"utt_id": "0", "hyp": "hello"}
    assert build_output_transducer([{}], [["hi"]], [4]) == [{"utt_id": "4", "hyp": "hi"}]


@pytest.mark.parametrize("output", ["hello", [], None, {"text": "a"}, [(3, [])], [["h"][0:0] or 3]])
def test_what_is_no_nbest_list_is_refused(output):
    with pytest.raises(TypeError):
        build_output({}, output, 0)


def test_bundles_may_name_them():
    assert {
        "espnet3.systems.asr.outputs.build_scored_output",
        "espnet3.systems.asr.outputs.build_output",
        "espnet3.systems.asr.outputs.build_output_transducer",
    } <= TRUSTED_TARGETS
