from __future__ import annotations

import pytest

from espnet3.components.inference.records import (
    as_names,
    check_record,
    iter_records,
    load_output_fn,
    select_inputs,
)
from espnet3.errors import ConfigError, InputKeyError

HERE = __name__
NOT_CALLABLE = 3


def by_keyword(*, data, model_output, idx):
    return {}


def too_few(data, model_output):
    return {}


def needs_more(data, model_output, idx, vocabulary):
    return {}


def test_a_function_with_our_keywords_is_loaded():
    assert load_output_fn(f"{HERE}.by_keyword") is by_keyword


@pytest.mark.parametrize("name", ["too_few", "needs_more", "NOT_CALLABLE", "missing"])
def test_what_cannot_be_called_is_refused_with_the_key(name):
    with pytest.raises(ConfigError, match=f"output_fn = '{HERE}.{name}'"):
        load_output_fn(f"{HERE}.{name}")


@pytest.mark.parametrize(
    ("value", "names"), [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"]), ((), [])]
)
def test_names_may_be_one_several_or_none(value, names):
    assert as_names(value) == names


def test_only_the_named_inputs_are_selected():
    assert select_inputs({"speech": 1, "text": 2}, ["speech"]) == {"speech": 1}
    with pytest.raises(KeyError, match="Input key 'lang'.*speech") as caught:
        select_inputs({"speech": 1}, ["speech", "lang"])
    assert isinstance(caught.value, InputKeyError)
    assert not str(caught.value).startswith('"')


def test_lists_are_spread_by_one_level():
    assert list(iter_records([1, [2, [3]], []])) == [1, 2, [3]]


@pytest.mark.parametrize(
    ("record", "error", "text"),
    [
        ("hi", TypeError, "Expected dict output"),
        ({"id": 1}, ValueError, "sample identifier key.*idx_key='utt_id'"),
        ({"utt_id": ["a"], "hyp": 1, "ref": 2}, TypeError, "'utt_id' must be a single value"),
        ({"utt_id": "a"}, ValueError, "lacks hyp, ref"),
    ],
)
def test_a_bad_record_is_refused(record, error, text):
    with pytest.raises(error, match=text):
        check_record(record, idx_key="utt_id", fields=["ref", "hyp"])


def test_more_fields_than_needed_are_fine():
    check_record({"utt_id": 0, "hyp": 1, "more": 2}, idx_key="utt_id", fields=["hyp"])
