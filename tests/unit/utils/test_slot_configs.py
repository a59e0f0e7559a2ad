"""Preparing all configurations of a run finds as many mistakes as it can in one go."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils.key_accounting import Finding
from espnet3.utils.slot_configs import SlotRequest, drop_repetition, prepare_configs
from espnet3.utils.stage_table import SLOT_FILES


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Write one file per slot into an empty folder and prepare them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    monkeypatch.setenv("PYTHONPATH", "")

    def run(overrides=(), stages=(), system_cls=None, **texts):
        paths = dict.fromkeys(SLOT_FILES)
        for slot, text in texts.items():
            path = Path(f"{slot}.yaml")
            if text is not None:
                path.write_text(text)
            paths[f"{slot}_config"] = path
        request = SlotRequest(
            paths=paths,
            files=SLOT_FILES,
            template_package="egs3.TEMPLATE.asr",
            overrides=overrides,
            stages=stages,
            system_cls=system_cls,
        )
        return prepare_configs(request)

    return run


def texts(findings):
    return [str(finding.error) for finding in findings]


def test_correct_files_are_merged_named_and_resolved(prepare):
    configs, findings = prepare(training="exp_tag: a", metrics="metrics: []", stages=["measure"])
    assert findings == []
    assert configs["metrics_config"].exp_dir == "./exp/a"
    assert configs["training_config"].trainer.max_epochs == 100
    assert configs["demo_config"] is None


def test_a_broken_file_hides_no_mistake_of_another(prepare):
    configs, findings = prepare(
        training="trainer: {max_epoch: 3}", inference=None, metrics="a: [", stages=["infer"]
    )
    assert "inference_config" not in configs
    missing, malformed, unknown = findings
    assert isinstance(missing.error, MissingFileError)
    assert "metrics.yaml:" in str(malformed.error)
    assert "training.yaml:1: trainer.max_epoch" in str(unknown.error)


def test_what_a_misspelt_key_breaks_is_not_reported_too(prepare):
    text = "tokenizer: {vocab_sise: 3}\ndata_dir: data_${tokenizer.vocab_size}"
    _, findings = prepare(training=text)
    assert len(findings) == 1
    assert "tokenizer.vocab_sise" in texts(findings)[0]


def test_unknown_keys_broken_interpolations_and_overrides_are_found_together(prepare):
    _, findings = prepare(
        training="trainer: {max_epoch: 3}\ndata_dir: ${nowhere}",
        overrides=["training.sed=1", "training.seed=3", "trainin.seed=4"],
    )
    found = "\n".join(texts(findings))
    assert len(findings) == 4
    for part in ("sed: is not a key", "slot 'trainin'", "trainer.max_epoch", "nowhere"):
        assert part in found


def test_an_override_for_a_file_that_is_broken_is_not_a_mistake(prepare):
    _, findings = prepare(training="a: [", overrides=["training.seed=3"])
    assert len(findings) == 1


def test_a_stage_that_does_not_know_its_experiment_is_a_finding(prepare):
    _, findings = prepare(inference="output_fn: null", stages=["infer"])
    assert texts(findings) == [
        "infer stage requires --training_config, or inference_config with a concrete "
        "exp_tag/exp_dir"
    ]


def test_the_slot_that_names_the_experiment_stands_for_training_in_the_checks(
    tmp_path, monkeypatch
):
    from espnet3.systems.asr.system import ASRSystem

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    monkeypatch.setenv("PYTHONPATH", "")
    Path("full.yaml").write_text("model: {_target_: espnet3.systems.asr.models.ASRModel}\n")
    extra = {"full_config": "training.yaml"}
    request = SlotRequest(
        paths={**dict.fromkeys(SLOT_FILES), "full_config": Path("full.yaml")},
        files={**SLOT_FILES, **extra},
        template_package="egs3.TEMPLATE.asr",
        stages=["collect_stats"],
        system_cls=ASRSystem,
        naming_source="full_config",
    )
    _, findings = prepare_configs(request)
    assert any("dataset.train" in text for text in texts(findings))
    request = dataclasses.replace(request, naming_source="training_config")
    assert prepare_configs(request)[1] == []


def test_all_keys_are_gone_through_once(prepare, monkeypatch):
    from espnet3.utils import key_accounting

    calls = []
    check = key_accounting.check_calls
    monkeypatch.setattr(
        key_accounting, "check_calls", lambda *args: calls.append(args[1]) or check(*args)
    )
    _, findings = prepare(training="exp_tag: a", metrics="metrics: []")
    assert (findings, calls) == ([], ["training", "metrics"])


def test_a_wrong_value_is_reported_where_it_stands_and_not_where_it_is_used(prepare):
    text = "trainer: {max_epochs: many, min_epochs: '${trainer.max_epochs}'}\nexp_tag: [1]"
    _, findings = prepare(training=text, metrics="metrics: []")
    assert [(finding.error.key, finding.is_fatal) for finding in findings] == [
        ("exp_tag", True),
        ("trainer.max_epochs", True),
    ]


def test_a_wrong_value_that_is_right_where_it_stands_is_reported_where_it_is_used(prepare):
    _, findings = prepare(training="data_dir: here\nseed: ${data_dir}")
    (error,) = [finding.error for finding in findings]
    assert (error.key, error.value, error.line) == ("seed", "here", 2)


def test_a_misspelt_key_is_reported_whatever_its_value_refers_to(prepare):
    _, findings = prepare(training="trainer: {max_epoch: '${seed}', min_epoch: 1}")
    assert [finding.error.key for finding in findings] == [
        "trainer.max_epoch",
        "trainer.min_epoch",
    ]


def test_a_null_that_data_sets_and_paths_use_is_one_finding(prepare):
    # `dataset` of the recipe, found from its folder.
    Path("dataset.py").write_text("class Dataset:\n    def __init__(self, split: str): ...\n")
    text = (
        "data_dir:\ndataset:\n  train: [{data_src: dataset, data_src_args: {split: '${data_dir}'}}]"
        "\n  valid: [{data_src: dataset, data_src_args: {split: '${data_dir}'}}]\n"
        "tokenizer: {save_path: '${data_dir}/tokens'}"
    )
    from espnet3.systems.asr.system import ASRSystem

    _, findings = prepare(training=text, stages=["train_tokenizer"], system_cls=ASRSystem)
    (text,) = texts(findings)
    assert text.endswith(
        "dataset.train[0].data_src_args.split: must not be null\n  uses data_dir, which is null"
    )


def test_what_one_null_causes_is_reported_once():
    hints = ["uses a, which is null", "uses b, which is null", "uses a, which is null", None, None]
    findings = [Finding(ConfigError("must be set", hint=hint)) for hint in hints]
    kept = drop_repetition(findings)
    assert [findings.index(finding) for finding in kept] == [0, 1, 3, 4]
