from __future__ import annotations

import pytest

from espnet3.errors import ScpError
from tests.unit.systems.base import toy_inference as toy
from tests.unit.systems.base.toy_inference import execution, hyps

OURS = {"output_fn": "espnet3.systems.asr.outputs.build_output"}


@pytest.fixture(autouse=True)
def ids_are_stated(monkeypatch):
    monkeypatch.setattr(toy.ToyDataset, "keys", lambda self: self.ids, raising=False)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b c", "d e"], "sample id 'b c' is empty or holds whitespace"),
        (["a", "b", "a", "b"], "sample id 'a' occurs twice"),
    ],
)
def test_ids_that_no_scp_can_hold_are_found_before_the_model_is_built(run, ids, message):
    with pytest.raises(ScpError, match=message) as caught:
        run(ids=ids, **OURS)
    assert "found before decoding; 2 such ids in all" in caught.value.__notes__
    assert not toy.builds["model"]


@pytest.mark.parametrize(
    ("settings", "is_found"),
    [({"on_error": "record", "max_failures": 0.9}, True), ({"limit": 1}, False)],
)
def test_what_does_not_end_the_run_is_decoded(run, caplog, settings, is_found):
    assert hyps(run(ids=["a", "b c"], **execution(**settings))) == ["a h0"]
    assert ("1 samples fail unless" in caplog.text) == is_found


def test_an_output_function_of_the_user_may_give_other_ids(run, caplog, monkeypatch):
    def rename(data, model_output, idx):
        return {"utt_id": data["utt_id"].replace(" ", "_"), "hyp": model_output}

    monkeypatch.setattr(toy, "build_output", rename)
    assert hyps(run(ids=["a", "b c"])) == ["a h0", "b_c h1"]
    assert "the first is item 1: sample id 'b c'" in caplog.text
