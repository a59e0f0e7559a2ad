from __future__ import annotations

import gc
import warnings

import pytest

from espnet3.components.metrics.base_metric import BaseMetric
from espnet3.errors import ScpError


class Metric(BaseMetric):
    def __call__(self, data, test_name, output_dir):
        return {}


@pytest.fixture
def files(tmp_path):
    def write(**texts):
        for key, text in texts.items():
            (tmp_path / f"{key}.scp").write_text(text, encoding="utf-8")
        return {key: tmp_path / f"{key}.scp" for key in texts}

    return write


def read(data, *keys, **options):
    return list(Metric().iter_inputs(data, *keys, **options))


def test_rows_come_in_file_order_with_a_value_per_key(files):
    data = files(ref="b one\na two words\n", hyp="b 1\n\n  a   2", extra="x y\n")
    assert read(data, "ref", "hyp") == [
        ("b", {"ref": "one", "hyp": "1"}),
        ("a", {"ref": "two words", "hyp": "2"}),
    ]
    assert read(data, "extra") == [("x", {"extra": "y"})]


def test_a_lone_id_has_an_empty_value(files):
    assert read(files(ref="a\n"), "ref") == [("a", {"ref": ""})]


def test_keys_are_required(files):
    with pytest.raises(AssertionError, match="At least one SCP key is required"):
        Metric().iter_inputs({})
    with pytest.raises(ValueError, match="needs the input.* hyp"):
        Metric().iter_inputs(files(ref=""), "ref", "hyp")


@pytest.mark.parametrize(("ref", "hyp"), [("a 1\nb 2\n", "a 1\n"), ("a 1\n", "a 1\nb 2\n")])
def test_a_shorter_file_is_found_after_the_rows_before(files, ref, hyp):
    data = files(ref=ref, hyp=hyp)
    rows = Metric().iter_inputs(data, "ref", "hyp")
    assert next(rows)[0] == "a"
    with pytest.raises(ScpError, match=r"(?s)SCP length mismatch.*2 lines.*b") as caught:
        next(rows)
    assert isinstance(caught.value, AssertionError)
    assert "1 lines" in str(caught.value)


def test_other_ids_are_named_with_the_files(files):
    data = files(ref="a 1\nb 2\n", hyp="a 1\nc 2\n")
    with pytest.raises(AssertionError, match=r"(?s)UID mismatch between ref and hyp.*: b.*: c"):
        read(data, "ref", "hyp")


def test_the_same_ids_in_another_order_get_a_hint_and_can_be_joined(files):
    data = files(ref="a 1\nb 2\n", hyp="b 4\na 3\n")
    with pytest.raises(AssertionError, match=r"(?s)another order.*align: by_id"):
        read(data, "ref", "hyp")
    assert read(data, "ref", "hyp", align="by_id") == [
        ("a", {"ref": "1", "hyp": "3"}),
        ("b", {"ref": "2", "hyp": "4"}),
    ]


@pytest.mark.parametrize(("ref", "hyp"), [("a 1\nb 2\n", "a 1\n"), ("a 1\n", "b 2\na 1\n")])
def test_joining_wants_the_same_ids(files, ref, hyp):
    with pytest.raises(AssertionError, match="mismatch"):
        read(files(ref=ref, hyp=hyp), "ref", "hyp", align="by_id")


@pytest.mark.parametrize("align", ["order", "by_id"])
def test_an_id_that_occurs_twice_is_refused(files, align):
    data = files(ref="a 1\nspk 1 x\nspk 2 y\n", hyp="a 1\nspk 1 x\nspk 2 y\n")
    rows = Metric().iter_inputs(data, "ref", "hyp", align=align)
    with pytest.raises(AssertionError, match=r"(?s)scp: id 'spk' occurs twice.*whitespace"):
        list(rows)


def test_rows_before_a_repeated_id_come_first(files):
    rows = Metric().iter_inputs(files(ref="a 1\na 2\n"), "ref")
    assert next(rows) == ("a", {"ref": "1"})
    with pytest.raises(ScpError, match="twice"):
        next(rows)


def test_files_are_closed_when_the_iterator_is_abandoned(files):
    data = files(ref="a 1\nb 2\n", hyp="a 1\nb 2\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        rows = Metric().iter_inputs(data, "ref", "hyp")
        next(rows)
        del rows
        gc.collect()
