from __future__ import annotations

import json

import pytest

from espnet3.components.data.stats_identity import (
    META_NAME,
    data_files,
    find_changes,
    identify,
    read_parts,
    stats_config,
    with_preprocessor_mode,
)


@pytest.fixture
def data(tmp_path):
    for split in ("train", "valid"):
        path = tmp_path / "manifest" / f"{split}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(split)
    (tmp_path / "tokens.txt").write_text("a")
    entry = {"data_src_args": {"data_dir": str(tmp_path)}}
    preprocessor = {"token_list": str(tmp_path / "tokens.txt")}
    return {"train": [entry], "valid": [entry], "preprocessor": preprocessor}


def config(data, mode="train", **model):
    return stats_config({"_target_": "m.M", **model}, data, {"collate_fn": None}, mode)


def changes(before, after, **options):
    return find_changes(identify(before), identify(after, **options))


def test_the_files_of_a_split_are_its_manifest_and_what_the_preprocessor_reads(data, tmp_path):
    assert data_files(config(data)) == [
        tmp_path / "manifest" / "train.tsv",
        tmp_path / "tokens.txt",
    ]


def test_nothing_changes_without_a_cause(data):
    assert changes(config(data), config(data)) == []


def test_a_changed_manifest_is_named_for_its_own_split_only(data, tmp_path):
    before = {mode: identify(config(data, mode)) for mode in ("train", "valid")}
    path = tmp_path / "manifest" / "train.tsv"
    path.write_text("other")
    assert find_changes(before["train"], identify(config(data))) == [f"data.{path}"]
    assert find_changes(before["valid"], identify(config(data, "valid"))) == []


def test_of_a_model_with_a_frontend_only_that_counts(data):
    before = config(data, frontend={"n_fft": 512}, encoder=1)
    assert changes(before, config(data, frontend={"n_fft": 512}, encoder=2)) == []
    assert changes(before, config(data, frontend={"n_fft": 256})) == ["settings.model_config"]


def test_of_another_model_everything_counts(data):
    assert changes(config(data, size=1), config(data, size=2)) == ["settings.model_config"]


def test_options_count_and_lengths_do_not_depend_on_the_model(data):
    assert changes(config(data), config(data), keys=["feats"]) == ["settings.options"]
    one, other = (identify(config(data, size=n), lengths_only=True) for n in (1, 2))
    assert one == other


def test_only_a_preprocessor_with_a_switch_is_switched():
    switched = with_preprocessor_mode({"preprocessor": {"train": True}}, "train", False)
    assert switched == {"preprocessor": {"train": False}}
    for untouched in ({"preprocessor": {"a": 1}}, {"preprocessor": None}, {}):
        assert with_preprocessor_mode(untouched, "train", False) is untouched


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"parts": null}', '{"parts": 1}'])
def test_records_of_other_versions_count_as_none(tmp_path, content):
    assert read_parts(tmp_path) == {}
    (tmp_path / META_NAME).write_text(content)
    assert read_parts(tmp_path) == {}


def test_what_was_recorded_is_read(tmp_path):
    (tmp_path / META_NAME).write_text(json.dumps({"parts": {"a": "1"}}))
    assert read_parts(tmp_path) == {"a": "1"}
