from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
from omegaconf import OmegaConf

from espnet3.components.metrics.base_metric import BaseMetric
from espnet3.parallel import parallel
from espnet3.systems.base.inference import infer
from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_writer import WrittenSample
from espnet3.systems.base.metric import measure
from tests.unit.systems.base import toy_inference as toy

WER = "espnet3.systems.asr.metrics.wer.WER"
CER = "espnet3.systems.asr.metrics.cer.CER"
HERE = __name__
runs: list[str] = []


class CountsLines(BaseMetric):
    """Has no default inputs."""

    def __call__(self, data, test_name, anything):
        runs.append(test_name)
        return {name: np.float64(len(path.read_text().splitlines())) for name, path in data.items()}


class NoMetric:
    pass


@pytest.fixture
def inference_dir(tmp_path):
    for name, hyp in (("other", "one two"), ("clean", "one")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ref.scp").write_text("a one two\n")
        (tmp_path / name / "hyp.scp").write_text(f"a {hyp}\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "ref.scp").touch()
    (tmp_path / "logs").mkdir()
    (tmp_path / "infer.log").touch()
    runs.clear()
    return tmp_path


def run(inference_dir, *metrics, **settings):
    config = {"inference_dir": str(inference_dir), "metrics": list(metrics), **settings}
    return measure(OmegaConf.create(config))


def entry(target, **options):
    arguments = options.pop("arguments", {})
    return {"metric": {"_target_": target, **arguments}, **options}


def test_sets_are_found_in_sorted_order_and_the_file_equals_the_result(inference_dir):
    scores = run(inference_dir, entry(WER), entry(CER))
    assert scores[WER] == {"clean": {"WER": 50.0}, "other": {"WER": 0.0}}
    assert list(scores) == [WER, CER]
    assert list(scores[WER]) == ["clean", "other"]
    text = (inference_dir / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text) == scores
    assert text.startswith('{\n  "espnet3')


def test_names_in_the_config_go_before_the_folder(inference_dir):
    scores = run(inference_dir, entry(WER), dataset={"test": [{"name": "other"}]})
    assert list(scores[WER]) == ["other"]


def test_details_and_table_lie_beside_the_scores(inference_dir, caplog):
    with caplog.at_level(logging.INFO):
        run(inference_dir, entry(WER))
    details = json.loads((inference_dir / "metrics_details.json").read_text(encoding="utf-8"))
    assert details["metrics"][WER]["clean"]["deletions"] == 1
    assert details["metrics"][WER]["clean"]["normalizer"]["name"] == "none"
    assert details["test_sets"]["clean"]["coverage"] is None
    table = (inference_dir / "metrics.md").read_text(encoding="utf-8")
    assert "| clean    | WER    | 50.00 |" in table
    assert table in caplog.text


def test_inputs_may_be_a_list_or_a_mapping(inference_dir):
    scores = run(
        inference_dir,
        entry(f"{HERE}.CountsLines", inputs=["ref"], name="list"),
        entry(f"{HERE}.CountsLines", inputs={"text": "hyp"}, name="mapping"),
    )
    assert scores == {
        "list": {"clean": {"ref": 1.0}, "other": {"ref": 1.0}},
        "mapping": {"clean": {"text": 1.0}, "other": {"text": 1.0}},
    }


def test_a_metric_without_inputs_names_its_class(inference_dir):
    with pytest.raises(ValueError, match=r"CountsLines requires inputs in config"):
        run(inference_dir, entry(f"{HERE}.CountsLines", inputs=None))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"arguments": {"align": "by_idd"}}, r"metrics\[1\].metric.align = 'by_idd'"),
        (
            {"arguments": {"normalizer": "os.path.nope"}},
            r"metrics\[1\].metric.normalizer = 'os.path.nope'",
        ),
        ({"inputs": ["ref"]}, r"metrics\[1\].inputs = \['ref'\]"),
    ],
)
def test_a_wrong_argument_has_the_key_of_its_metric(inference_dir, options, key):
    with pytest.raises(ValueError, match=key):
        run(inference_dir, entry(WER), entry(CER, **options))


def test_a_byte_order_mark_is_named(inference_dir):
    path = inference_dir / "clean" / "hyp.scp"
    path.write_text("a one two\n", encoding="utf-8-sig")
    with pytest.raises(ValueError, match=r"hyp.scp begins with a byte-order mark"):
        run(inference_dir, entry(WER))


def test_no_metrics_leave_earlier_scores_alone(inference_dir):
    scores = run(inference_dir, entry(WER))
    before = {path: path.read_bytes() for path in inference_dir.glob("metrics*")}
    with pytest.raises(
        ValueError, match="(?s)metrics: lists no metric, which would replace .*merge"
    ):
        run(inference_dir)
    assert {path: path.read_bytes() for path in inference_dir.glob("metrics*")} == before
    assert len(before) == 3
    assert run(inference_dir, merge=True) == scores


def test_no_test_sets_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="No test sets found"):
        run(tmp_path, entry(WER))
    with pytest.raises(ValueError, match="No test sets found"):
        run(tmp_path / "nowhere", entry(WER))


def test_metrics_are_required_but_may_be_none_at_all(inference_dir):
    with pytest.raises(AssertionError, match="metrics"):
        measure(OmegaConf.create({"inference_dir": str(inference_dir)}))
    for _ in range(2):
        assert run(inference_dir) == {}


def test_all_types_and_files_are_checked_before_the_first_metric_runs(inference_dir):
    first = entry(f"{HERE}.CountsLines", inputs=["ref"])
    with pytest.raises(TypeError, match="NoMetric is not a valid BaseMetric instance"):
        run(inference_dir, first, entry(f"{HERE}.NoMetric"))
    with pytest.raises(AssertionError, match=r"(?s)text\.scp.*hyp\.scp, ref\.scp"):
        run(inference_dir, first, entry(WER, inputs={"ref": "text", "hyp": "hyp"}))
    assert runs == []


def test_a_misspelt_key_of_an_entry_is_named(inference_dir):
    with pytest.raises(ValueError, match=r"metrics\[0\].input.*"):
        run(inference_dir, entry(WER, input=["ref"]))


def test_entries_of_one_class_do_not_overwrite_each_other(inference_dir, caplog):
    scores = run(
        inference_dir,
        entry(WER),
        entry(WER, arguments={"ref_key": "hyp"}),
        entry(WER, name="swapped", arguments={"ref_key": "hyp", "hyp_key": "ref"}),
    )
    assert list(scores) == [WER, f"{WER}#2", "swapped"]
    assert scores["swapped"]["clean"] == {"WER": 100.0}
    assert f"{WER}#2" in caplog.text
    table = (inference_dir / "metrics.md").read_text(encoding="utf-8")
    assert "WER#2" in table
    assert "WER (swapped)" in table


def test_a_repeated_name_is_refused(inference_dir):
    with pytest.raises(ValueError, match="two metrics have this name"):
        run(inference_dir, entry(WER, name="x"), entry(CER, name="x"))


def test_merge_keeps_scores_of_other_metrics(inference_dir):
    run(inference_dir, entry(WER), entry(CER, name="old"))
    scores = run(inference_dir, entry(CER), merge=True)
    assert list(scores) == [WER, "old", CER]
    assert json.loads((inference_dir / "metrics.json").read_text(encoding="utf-8")) == scores
    assert list(run(inference_dir, entry(CER))) == [CER]


@pytest.mark.parametrize("text", ["{", "[]"])
def test_scores_that_cannot_be_merged_are_named(inference_dir, text):
    (inference_dir / "metrics.json").write_text(text)
    with pytest.raises(ValueError, match=r"metrics\.json.*\n.*merge: false"):
        run(inference_dir, entry(WER), merge=True)
    assert (inference_dir / "metrics.json").read_text() == text


def test_the_callers_config_is_unchanged(inference_dir):
    config = OmegaConf.create({"inference_dir": str(inference_dir), "metrics": [entry(WER)]})
    before = config.copy()
    measure(config)
    assert config == before


class TestIncompleteTestSets:
    @pytest.fixture
    def decoded(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parallel, "_registered", None)

        def decode(**changes):
            infer(OmegaConf.create(toy.toy_config(tmp_path / "out", **changes)))
            return tmp_path / "out"

        return decode

    def test_a_finished_one_is_scored_with_its_coverage(self, decoded):
        out = decoded()
        run(out, entry(WER))
        details = json.loads((out / "metrics_details.json").read_text(encoding="utf-8"))
        assert details["test_sets"]["clean"] == {
            "scored": 2,
            "samples": 2,
            "coverage": 1.0,
            "unfinished": False,
            "failures": [],
        }

    def test_fewer_outputs_than_samples_are_refused_unless_allowed(self, decoded):
        out = decoded(runner={"_target_": f"{toy.HERE}.ReturnsHalf"})
        with pytest.raises(
            ValueError, match=r"(?s)'clean' is incomplete.*1 of 2.*allow_incomplete"
        ):
            run(out, entry(WER))
        assert not (out / "metrics.json").exists()
        run(out, entry(WER), allow_incomplete=True)
        details = json.loads((out / "metrics_details.json").read_text(encoding="utf-8"))
        assert details["test_sets"]["clean"]["coverage"] == 0.5

    def test_failures_that_infer_has_reported_are_named(self, decoded):
        out = decoded()
        report = {"failures": [{"id": "u7", "index": 3, "error": "ValueError: too short"}]}
        (out / "clean" / "inference_report.json").write_text(json.dumps(report))
        with pytest.raises(
            ValueError, match=r"(?s)'clean' is incomplete.*1 samples.*u7: ValueError: too short"
        ):
            run(out, entry(WER))
        run(out, entry(WER), allow_incomplete=True)
        details = json.loads((out / "metrics_details.json").read_text(encoding="utf-8"))
        assert details["test_sets"]["clean"]["failures"] == [
            {"id": "u7", "error": "ValueError: too short"}
        ]
        (out / "clean" / "inference_report.json").write_text("[]")
        with pytest.raises(ValueError, match=r"inference_report\.json is not a report"):
            run(out, entry(WER))

    def test_lines_that_were_cut_off_are_noticed(self, decoded):
        out = decoded()
        for name in ("hyp", "ref"):
            (out / "clean" / f"{name}.scp").write_text("a x\n")
        with pytest.raises(ValueError, match="1 of 2"):
            run(out, entry(WER))

    def test_an_unfinished_run_is_refused(self, decoded):
        out = decoded()
        with pytest.raises(ArithmeticError):
            decoded(model={"_target_": f"{toy.HERE}.FailingModel"})
        with pytest.raises(ValueError, match="has not finished"):
            run(out, entry(WER))
        assert run(out, entry(WER), allow_incomplete=True)[WER]["clean"] == {"WER": 100.0}
        assert "Incomplete test set `clean`: a run of `infer`" in (out / "metrics.md").read_text()

    @pytest.mark.parametrize("by_name", [True, False])
    def test_an_interrupted_set_without_outputs_is_named_with_its_counts(self, decoded, by_name):
        out = decoded()
        names = [{"name": name} for name in ("clean", "noisy")]
        given = {"dataset": {"test": names}} if by_name else {}
        with Journal(out / "noisy", num_samples=3, parts={}, fields=["hyp"]) as journal:
            journal.add(WrittenSample(1, ["b"], '[1,[["b","x"]]]'))
        with pytest.raises(ValueError, match=r"(?s)'noisy' is incomplete.*1 of 3 samples are dec"):
            run(out, entry(WER), **given)
        assert list(run(out, entry(WER), **given, allow_incomplete=True)[WER]) == ["clean"]
        assert "Incomplete test set `noisy`" in (out / "metrics.md").read_text(encoding="utf-8")
        details = json.loads((out / "metrics_details.json").read_text(encoding="utf-8"))
        assert details["test_sets"]["noisy"]["samples"] == 3
        shutil.rmtree(out / "clean")
        with pytest.raises(ValueError, match="'noisy' is incomplete"):
            run(out, entry(WER), allow_incomplete=True)
