from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.metrics.utterance_records import UtteranceRecord, read_records

tokens = st.lists(st.text(max_size=4), max_size=4)


@given(ids=st.lists(st.text(), max_size=3), ref=tokens | st.text(), hyp=tokens)
def test_what_is_written_is_read_again(tmp_path_factory, ids, ref, hyp):
    path = tmp_path_factory.mktemp("r") / "records.jsonl"
    records = [
        UtteranceRecord(
            utt_id=i, errors=1, reference_length=2, ref=ref, hyp=hyp, edits=[["S", 0, 1, 0, 1]]
        )
        for i in ids
    ]
    path.write_text("".join(r.to_line() for r in records), encoding="utf-8")
    assert list(read_records(path)) == records


@pytest.mark.parametrize("line", ["{", '{"utt_id": "a"}', "[]", "{}"])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    path = tmp_path / "records.jsonl"
    good = UtteranceRecord(utt_id="a", errors=0, reference_length=1).to_line()
    path.write_text(good + line + "\n")
    rows = read_records(path)
    assert next(rows).utt_id == "a"
    with pytest.raises(ValueError, match=r"records\.jsonl:2: not a record.*\n.*measure"):
        next(rows)
