"""What `measure` says about its scores: error bars, breakdowns, comparisons with earlier runs."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from omegaconf import OmegaConf

from espnet3.components.metrics.significance import matched_pairs
from espnet3.parallel.parallel import get_parallel_config
from espnet3.systems.base.metric import measure

WER = "espnet3.systems.asr.metrics.wer.WER"
CER = "espnet3.systems.asr.metrics.cer.CER"
CONFIDENCE = {"replicates": 500}


def write_test_set(folder, hypotheses, **columns):
    """Write ten-word references and hypotheses with as many wrong words as told, by id."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"w{i}" for i in range(10)]
    columns["ref"] = {utt_id: " ".join(words) for utt_id in hypotheses}
    columns["hyp"] = {
        utt_id: " ".join(["x"] * wrong + words[wrong:]) for utt_id, wrong in hypotheses.items()
    }
    for name, values in columns.items():
        lines = [f"{utt_id} {value}\n" for utt_id, value in values.items()]
        (folder / f"{name}.scp").write_text("".join(lines))


def run(folder, names=(WER,), **settings):
    config = {
        "inference_dir": str(folder),
        "metrics": [{"metric": {"_target_": name}} for name in names],
        "confidence": CONFIDENCE,
        **settings,
    }
    scores = measure(OmegaConf.create(config))
    assert json.loads((folder / "metrics.json").read_text()) == scores
    return json.loads((folder / "metrics_details.json").read_text())["metrics"]


@pytest.fixture
def out(tmp_path):
    errors = {f"u{i:02}": i % 4 for i in range(40)}
    speakers = {utt_id: "ann" if i < 30 else "bob" for i, utt_id in enumerate(errors)}
    write_test_set(tmp_path / "new" / "clean", errors, speaker=speakers)
    write_test_set(tmp_path / "old" / "clean", {k: min(v + 1, 3) for k, v in errors.items()})
    return tmp_path / "new"


def test_scores_have_error_bars(out):
    confidence = run(out)[WER]["clean"]["confidence"]
    assert confidence["low"] < 15.0 < confidence["high"]
    # Error counts 0 to 3, each ten times, per ten words: a mean with a known standard error.
    expected = 100 * np.std([0, 1, 2, 3]) / np.sqrt(40) / 10
    assert confidence["standard_error"] == pytest.approx(expected, rel=0.1)
    stated = {k: confidence[k] for k in ("level", "method", "unit", "units", "replicates", "seed")}
    assert stated == {
        "level": 0.95,
        "method": "percentile bootstrap",
        "unit": "utterance",
        "units": 40,
        "replicates": 500,
        "seed": 0,
    }
    table = (out / "metrics.md").read_text(encoding="utf-8")
    assert "95 % interval" in table
    assert f"{confidence['low']:.2f} to {confidence['high']:.2f}" in table


def test_error_bars_can_be_made_over_speakers(out):
    settings = {"confidence": {**CONFIDENCE, "block_by": "speaker", "level": 0.9}}
    confidence = run(out, **settings)[WER]["clean"]["confidence"]
    assert (confidence["unit"], confidence["units"], confidence["level"]) == ("speaker", 2, 0.9)


def test_one_utterance_has_no_error_bars(tmp_path):
    write_test_set(tmp_path / "clean", {"a": 1})
    assert run(tmp_path)[WER]["clean"]["confidence"] is None
    assert "interval" not in (tmp_path / "metrics.md").read_text()


def test_scores_are_split_by_an_scp_file(out):
    groups = run(out, breakdown=["speaker"])[WER]["clean"]["breakdown"]["speaker"]
    assert list(groups) == ["ann", "bob"]
    assert groups["bob"]["score"] == 17.0
    assert groups["bob"]["low"] <= 17.0 <= groups["bob"]["high"]
    assert {k: groups["ann"][k] for k in ("errors", "reference_length", "utterances")} == {
        "errors": 43,
        "reference_length": 300,
        "utterances": 30,
    }
    assert sum(g["errors"] for g in groups.values()) == 60
    table = (out / "metrics.md").read_text(encoding="utf-8")
    assert "By speaker:" in table
    assert "| ann " in table


@pytest.mark.parametrize(("suffix", "mark"), [("tsv", "\t"), ("csv", ",")])
def test_scores_are_split_by_a_column_of_a_table(out, tmp_path, suffix, mark):
    table = tmp_path / f"meta.{suffix}"
    rows = [("utt_id", "snr", "note")]
    rows += [(f"u{i:02}", str(10 * (i % 2)), "x") for i in range(40)] + [("other", "3", "")]
    table.write_text("\n".join(mark.join(row) for row in rows) + "\n")
    for metadata in (str(table), {"clean": str(table)}):
        groups = run(out, breakdown=["snr"], metadata=metadata)[WER]["clean"]["breakdown"]["snr"]
        assert {name: group["score"] for name, group in groups.items()} == {"0": 10.0, "10": 20.0}


def test_many_numbers_are_split_at_their_quartiles(tmp_path):
    write_test_set(tmp_path / "clean", dict.fromkeys((f"u{i}" for i in range(40)), 1))
    lines = [f"u{i} {i / 10 + 1}\n" for i in range(40)]
    (tmp_path / "clean" / "seconds.scp").write_text("".join(lines))
    groups = run(tmp_path, breakdown=["seconds"])[WER]["clean"]["breakdown"]["seconds"]
    assert {name: group["utterances"] for name, group in groups.items()} == {
        "1–1.9": 10,
        "2–2.9": 10,
        "3–3.9": 10,
        "4–4.9": 10,
    }


def test_scores_are_split_by_length_in_tokens(tmp_path):
    folder = tmp_path / "clean"
    write_test_set(folder, {"a": 1, "b": 0})
    for name in ("ref", "hyp"):
        with (folder / f"{name}.scp").open("a") as stream:
            stream.write("c w0 w1\n")
    details = run(tmp_path, [WER, CER], breakdown=["length"])
    groups = details[WER]["clean"]["breakdown"]["length"]
    assert {name: group["score"] for name, group in groups.items()} == {"2": 0.0, "10": 5.0}
    assert list(details[CER]["clean"]["breakdown"]["length"]) == ["5", "29"]


def test_a_group_without_reference_tokens_has_no_score(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    (folder / "ref.scp").write_text("a\nb x\n")
    (folder / "hyp.scp").write_text("a y\nb x\n")
    metric = {"metric": {"_target_": WER, "empty_token": None}}
    details = run(tmp_path, metrics=[metric], breakdown=["length"])
    groups = details[WER]["clean"]["breakdown"]["length"]
    assert groups["0"]["score"] is None
    assert groups["1"]["score"] == 0.0
    assert "| 0      |     – |" in (tmp_path / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"breakdown": ["speeker"]}, r'breakdown\[0\] = \'speeker\'.*\n.*"speaker"'),
        ({"breakdown": ["snr"]}, r"there are hyp, length, ref, speaker; .*`metadata`"),
        ({"confidence": {"block_by": "room"}}, r"confidence\.block_by = 'room'"),
        ({"confidence": {"block_by": "length"}}, r"confidence\.block_by = 'length'"),
        ({"metadata": "nowhere.tsv"}, r"metadata = .*no such file"),
        ({"metadata": "nowhere.tsv", "breakdown": ["snr"]}, r"metadata = .*no such file"),
        ({"confidence": {"level": 95}}, r"confidence\.level = 95"),
        ({"confidence": {"replicates": 1}}, r"confidence\.replicates = 1"),
        ({"confidence": {"bootstrap": 1}}, r"confidence\.bootstrap"),
        ({"breakdown": "speaker"}, r"breakdown = .*must be a list"),
    ],
)
def test_bad_settings_are_named_before_anything_is_scored(out, settings, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        run(out, **settings)
    assert not (out / "clean" / "wer_alignment").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\tsnr\nu00\t1\n", r"meta\.tsv: the first line must name .* utt_id; it has: id, snr"),
        ("", "the first line must name"),
        ("utt_id\tsnr\nu00\n", r"meta\.tsv:2"),
        ("utt_id\tsnr\nu00\t1\nu00\t2\n", r"listed twice: u00"),
        ("utt_id\tsnr\nu00\t1\n", r"column 'snr' has no value for 39 of 40 utterances: u01, u02"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(out, tmp_path, text, message):
    (tmp_path / "meta.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        run(out, breakdown=["snr"], metadata=str(tmp_path / "meta.tsv"))


class TestComparison:
    @pytest.fixture
    def old(self, out):
        folder = out.parent / "old"
        run(folder)
        return folder

    def test_the_difference_is_tested_on_the_same_utterances(self, out, old):
        found = run(out, compare_with=str(old))[WER]["clean"]["comparison"]
        assert (found["score"], found["baseline_score"], found["difference"]) == (15.0, 22.5, -7.5)
        assert found["with"] == str(old)
        assert found["utterances"] == 40
        boot, pairs = found["paired_bootstrap"], found["matched_pairs"]
        assert boot["low"] < -7.5 < boot["high"] < 0
        assert boot["probability_of_improvement"] == 1.0
        assert boot["p_value"] < 0.01
        # One segment per utterance: 30 are better by one error, 10 are equal, none is correct.
        expected = matched_pairs([-1] * 30 + [0] * 10)
        assert pairs["segments"] == 40
        assert pairs["z"] == pytest.approx(expected.z)
        assert pairs["p_value"] == pytest.approx(expected.p_value)
        table = (out / "metrics.md").read_text(encoding="utf-8")
        assert f"Compared with `{old}`" in table
        assert "| clean    | WER    | 15.00 |   22.50 |      -7.50 |" in table
        assert "< 0.001" in table

    def test_the_order_of_the_earlier_run_does_not_matter(self, out, old):
        first = run(out, compare_with=str(old))[WER]["clean"]["comparison"]
        path = old / "clean" / "wer_utterances.jsonl"
        path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
        assert run(out, compare_with=str(old))[WER]["clean"]["comparison"] == first

    def test_speakers_are_drawn_as_a_whole(self, out, old):
        settings = {"confidence": {**CONFIDENCE, "block_by": "speaker"}}
        found = run(out, compare_with=str(old), **settings)[WER]["clean"]["comparison"]
        assert found["difference"] == -7.5
        plain = run(out, compare_with=str(old))[WER]["clean"]["comparison"]
        assert found["paired_bootstrap"] != plain["paired_bootstrap"]
        assert found["matched_pairs"] == plain["matched_pairs"]

    def test_a_metric_that_the_earlier_run_lacks_is_named(self, out, old, caplog):
        with caplog.at_level(logging.WARNING):
            details = run(out, [WER, CER], compare_with=str(old))
        assert "comparison" in details[WER]["clean"]
        assert "comparison" not in details[CER]["clean"]
        assert f"{CER} on clean" in caplog.text
        with pytest.raises(ValueError, match=rf"(?s)compare_with.*in common.*{WER} on clean"):
            run(out, [CER], compare_with=str(old))

    def test_other_utterances_are_refused_unless_allowed(self, out, old):
        path = old / "clean" / "wer_utterances.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
        with pytest.raises(ValueError, match=r"(?s)2 \(u00, u01\) only in the former, 0 only"):
            run(out, compare_with=str(old))
        found = run(out, compare_with=str(old), allow_incomplete=True)[WER]["clean"]["comparison"]
        assert found["utterances"] == 38

    def test_other_references_are_refused(self, out, old):
        path = old / "clean" / "wer_utterances.jsonl"
        path.write_text(path.read_text().replace("w9", "w8"))
        with pytest.raises(ValueError, match="the reference of 'u00' is not the one in"):
            run(out, compare_with=str(old))

    def test_other_normalisers_are_refused(self, out, old):
        metric = {"metric": {"_target_": WER, "normalizer": "lowercase"}}
        with pytest.raises(ValueError, match=r"(?s)scored with normalizer.*none.*lowercase"):
            run(out, compare_with=str(old), metrics=[metric])

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (
                lambda old: (old / "metrics_details.json").unlink(),
                r"no metrics_details.*\n.*measure",
            ),
            (lambda old: (old / "metrics_details.json").write_text("{"), "cannot be read"),
            (lambda old: (old / "metrics_details.json").write_text("{}"), "cannot be read"),
        ],
    )
    def test_a_run_that_was_not_measured_is_refused(self, out, old, spoil, message):
        spoil(old)
        with pytest.raises(ValueError, match=f"compare_with = .*{message}"):
            run(out, compare_with=str(old))

    def test_a_run_is_not_compared_with_itself(self, out):
        with pytest.raises(ValueError, match=r"compare_with.*this run itself"):
            run(out, compare_with=str(out / "clean" / ".."))


def test_files_of_two_entries_of_one_class_do_not_overwrite_each_other(out):
    entries = [
        {"metric": {"_target_": WER}},
        {"metric": {"_target_": WER, "normalizer": "lowercase"}},
        {"metric": {"_target_": WER, "normalizer": "no_spaces"}, "name": "no spaces/1"},
    ]
    details = run(out, metrics=entries)
    assert [tests["clean"]["utterances_file"] for tests in details.values()] == [
        "wer_utterances.jsonl",
        "wer_2_utterances.jsonl",
        "wer_no_spaces_1_utterances.jsonl",
    ]
    assert (out / "clean" / "wer_no_spaces_1_alignment").is_file()


def test_a_metric_without_records_has_no_error_bars(out):
    class_path = "tests.unit.systems.base.test_metric.CountsLines"
    entry = {"metric": {"_target_": class_path}, "inputs": ["ref"]}
    assert run(out, metrics=[entry], breakdown=["speaker"])[class_path]["clean"] == {}


def test_workers_give_the_scores_of_one_process(out):
    old = out.parent / "old"
    run(old)
    write_test_set(out / "other", {"a": 1, "b": 0})
    registered = get_parallel_config()

    def files():
        names = ("metrics.json", "metrics_details.json", "metrics.md", "clean/wer_utterances.jsonl")
        return [(out / name).read_bytes() for name in names]

    run(out, compare_with=str(old))
    alone = files()
    for name in ("metrics.json", "clean/wer_utterances.jsonl"):
        (out / name).unlink()
    run(out, compare_with=str(old), parallel={"n_workers": 2})
    assert files() == alone
    assert get_parallel_config() == registered
    with pytest.raises(ValueError, match=r"parallel\.n_worker.*\n.*n_workers"):
        run(out, parallel={"n_worker": 2})


def test_null_switches_error_bars_off_but_not_comparisons(out):
    settings = {"breakdown": ["speaker"], "compare_with": str(out.parent / "old")}
    run(out.parent / "old")
    found = run(out, confidence=None, **settings)[WER]["clean"]
    assert found["confidence"] is None
    assert found["breakdown"]["speaker"]["ann"]["low"] is None
    assert found["comparison"]["paired_bootstrap"]["low"] < 0
    assert "interval |" not in (out / "metrics.md").read_text().partition("Compared")[0]


def test_few_blocks_are_warned_of_and_blocks_are_named(out, caplog):
    run(out, confidence={**CONFIDENCE, "block_by": "speaker"})
    note = "Intervals of `clean` draw blocks: the 2 values of `speaker`; fewer than 10 are too few"
    assert note in (out / "metrics.md").read_text()
    assert [note in record.getMessage() for record in caplog.records] == [True]


def test_enough_blocks_are_only_named(out, caplog):
    rows = "".join(f"u{i:02} s{i // 2}\n" for i in range(40))
    (out / "clean" / "speaker.scp").write_text(rows)
    run(out, confidence={**CONFIDENCE, "block_by": "speaker"})
    assert "the 20 values of `speaker`.\n" in (out / "metrics.md").read_text()
    assert not caplog.records
    run(out)
    assert "draw blocks" not in (out / "metrics.md").read_text()


def test_a_value_that_is_missing_names_the_table(out, tmp_path):
    table = tmp_path / "ages.tsv"
    table.write_text("utt_id\tage\nu00\t7\n")
    with pytest.raises(ValueError, match="'age' has no value for 39 of 40") as caught:
        run(out, breakdown=["age"], metadata=str(table))
    assert f"the table of its columns is {table}" in "\n".join(caught.value.__notes__)
    assert "test set 'clean' with metrics[0]" in "\n".join(caught.value.__notes__)
