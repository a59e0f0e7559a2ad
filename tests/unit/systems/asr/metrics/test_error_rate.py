from __future__ import annotations

import functools
import importlib.util
import json
import logging

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.metrics.utterance_records import read_records
from espnet3.errors import MissingDependencyError
from espnet3.systems.asr.metrics.cer import CER
from espnet3.systems.asr.metrics.wer import WER

sentences = st.lists(st.sampled_from(["ab", "cd", "e"]), min_size=1, max_size=6).map(" ".join)
pairs = st.lists(st.tuples(sentences, sentences | st.just("")), min_size=1, max_size=6)


def score_in(folder, metric, pairs):
    for name, column in (("ref", 0), ("hyp", 1)):
        lines = [f"utt{i} {pair[column]}\n" for i, pair in enumerate(pairs)]
        (folder / f"{name}.scp").write_text("".join(lines), encoding="utf-8")
    data = {name: folder / f"{name}.scp" for name in ("ref", "hyp")}
    return metric(data, "clean", folder)


@pytest.fixture
def score(tmp_path):
    return functools.partial(score_in, tmp_path)


@pytest.mark.parametrize(
    ("metric", "ref", "hyp", "value"),
    [
        (WER(), "hello world", "hello word", {"WER": 50.0}),
        (CER(), "abc", "axc", {"CER": 33.33}),
        (CER(), "a b", "ab", {"CER": 33.33}),
        (WER(), "a b", "a b c d e", {"WER": 150.0}),
        (WER(), "one  two", "one two", {"WER": 0.0}),
        (WER(), "größe", "größe", {"WER": 0.0}),
        (WER(), "a b", "", {"WER": 100.0}),
        (CER(), "", "", {"CER": 0.0}),
        (WER(), "", "a b", {"WER": 200.0}),
    ],
)
def test_golden_numbers(score, metric, ref, hyp, value):
    assert score(metric, [(ref, hyp)]) == value


def test_the_rate_is_that_of_the_whole_set(score):
    assert score(WER(), [("a", "b"), ("a b c d e f g h i", "a b c d e f g h i")]) == {"WER": 10.0}


@given(pairs=pairs)
def test_rates_agree_with_an_independent_tool(tmp_path_factory, pairs):
    refs, hyps = [r for r, _ in pairs], [h or "." for _, h in pairs]
    folder = tmp_path_factory.mktemp("scores")
    assert score_in(folder, WER(), pairs)["WER"] == round(100 * jiwer.wer(refs, hyps), 2)
    assert score_in(folder, CER(), pairs)["CER"] == round(100 * jiwer.cer(refs, hyps), 2)


def test_the_alignment_is_readable_and_names_the_utterance(score, tmp_path):
    score(WER(), [("hello world", "hello word"), ("ja", "ja")])
    text = (tmp_path / "clean" / "wer_alignment").read_text(encoding="utf-8")
    assert "utt0 errors=1 S=1 D=0 I=0 N=2\nREF: hello world\nHYP: hello word" in text
    assert text.endswith("WER errors=1 S=1 D=0 I=0 N=3\n")
    score(CER(), [("a", "b")])
    assert (tmp_path / "clean" / "cer_alignment").stat().st_size > 0


def test_details_tell_what_the_score_was_made_of(score):
    metric = WER()
    score(metric, [("a b c", "a x"), ("a", "a a"), ("b", "b")])
    details = metric.details
    expected = {
        "substitutions": 1,
        "deletions": 1,
        "insertions": 1,
        "hits": 3,
        "errors": 3,
        "reference_length": 5,
        "utterances": 3,
        "utterances_with_errors": 2,
        "sentence_error_rate": 66.67,
        "empty_token": ".",
    }
    assert {key: details[key] for key in expected} == expected
    assert details["worst_utterances"][0] == {
        "utt_id": "utt0",
        "errors": 2,
        "reference_length": 3,
    }
    assert details["normalizer"]["name"] == "none"
    assert len(details["normalizer"]["hash"]) == 64
    assert json.loads(json.dumps(details)) == details


def test_every_utterance_is_kept_with_its_edits(score, tmp_path):
    metric = WER()
    score(metric, [("a big world x", "a world y"), ("ja", "ja"), ("", "")])
    assert metric.details["utterances_file"] == "wer_utterances.jsonl"
    lines = (tmp_path / "clean" / "wer_utterances.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {
        "utt_id": "utt0",
        "errors": 2,
        "reference_length": 4,
        "ref": ["a", "big", "world", "x"],
        "hyp": ["a", "world", "y"],
        "edits": [["D", 1, 2, 1, 1], ["S", 3, 4, 2, 3]],
    }
    assert [json.loads(line)["errors"] for line in lines] == [2, 0, 0]
    score(CER(), [("größe", "grösse")])
    (record,) = read_records(tmp_path / "clean" / "cer_utterances.jsonl")
    assert (record.ref, record.hyp, record.reference_length) == ("größe", "grösse", 5)


@given(pairs=pairs)
def test_the_records_add_up_to_the_score_and_rebuild_the_hypothesis(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("records")
    rate = score_in(folder, WER(), pairs)["WER"]
    records = list(read_records(folder / "clean" / "wer_utterances.jsonl"))
    length = sum(r.reference_length for r in records)
    assert rate == round(100 * sum(r.errors for r in records) / length, 2)
    for record in records:
        rebuilt = list(record.ref)
        for _, start, end, hyp_start, hyp_end in reversed(record.edits):
            rebuilt[start:end] = record.hyp[hyp_start:hyp_end]
        assert rebuilt == record.hyp


def test_empty_texts_are_counted_and_empty_references_named(score, caplog):
    metric = WER()
    with caplog.at_level(logging.WARNING):
        score(metric, [("a", ""), ("", "b"), *[("", "")] * 6])
    assert metric.details["empty_references"] == 7
    assert metric.details["empty_hypotheses"] == 7
    assert "7 empty references in test set 'clean' (utt1, utt2, utt3, utt4, utt5, …)" in caplog.text


def test_normalisers_apply_to_both_sides_and_are_stated(score):
    metric = WER(normalizer=["lowercase", "no_punctuation"])
    assert score(metric, [("Hello, World!", "hello world")]) == {"WER": 0.0}
    assert metric.details["normalizer"]["name"] == "lowercase+no_punctuation"
    assert score(WER(), [("Hello, World!", "hello world")]) == {"WER": 100.0}
    with pytest.raises(ValueError, match=r"normalizer = 'lowecase'.*\n.*lowercase"):
        WER(normalizer="lowecase")


def test_files_of_another_stem_do_not_collide(score, tmp_path):
    metric = WER()
    metric.stem = "wer_2"
    score(metric, [("a", "b")])
    assert sorted(p.name for p in (tmp_path / "clean").iterdir()) == [
        "wer_2_alignment",
        "wer_2_utterances.jsonl",
    ]


def test_only_the_worst_fifty_are_listed(score):
    metric = WER()
    score(metric, [("a", "b " * (i % 7)) for i in range(80)])
    errors = [entry["errors"] for entry in metric.details["worst_utterances"]]
    assert len(errors) == 50
    assert errors == sorted(errors, reverse=True)
    assert min(errors) == 2


def test_empty_texts_may_be_compared_as_such(score):
    metric = WER(empty_token=None)
    assert score(metric, [("a", "a"), ("", "b"), ("", "")]) == {"WER": 100.0}
    with pytest.raises(ValueError, match="no tokens"):
        score(metric, [("", "b")])


def test_nothing_to_score_is_an_error_and_leaves_no_alignment(score, tmp_path):
    with pytest.raises(ValueError, match="no tokens"):
        score(WER(), [])
    assert not list((tmp_path / "clean").iterdir())


def test_misaligned_files_are_refused_unless_joined_by_id(tmp_path):
    (tmp_path / "ref.scp").write_text("a x\nb y\n")
    (tmp_path / "hyp.scp").write_text("b y\na x\n")
    data = {"ref": tmp_path / "ref.scp", "hyp": tmp_path / "hyp.scp"}
    with pytest.raises(AssertionError, match="UID mismatch"):
        WER()(data, "clean", tmp_path)
    assert WER(align="by_id")(data, "clean", tmp_path) == {"WER": 0.0}
    with pytest.raises(ValueError, match="align"):
        WER(align="by-id")


def test_other_aliases_are_read(tmp_path):
    (tmp_path / "x.scp").write_text("a x\n")
    data = {"gold": tmp_path / "x.scp", "system": tmp_path / "x.scp"}
    assert WER(ref_key="gold", hyp_key="system")(data, "clean", tmp_path) == {"WER": 0.0}


@pytest.mark.skipif(importlib.util.find_spec("espnet2") is not None, reason="ESPnet2 is installed")
@pytest.mark.parametrize("clean_types", ["tacotron", ["whisper_en", "tacotron"]])
def test_cleaners_without_espnet2_name_the_extra(clean_types):
    with pytest.raises(MissingDependencyError, match=r"(?s)tacotron.*espnet3\[espnet2\]"):
        WER(clean_types=clean_types)
