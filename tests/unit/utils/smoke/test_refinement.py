from __future__ import annotations

import pytest

from espnet3.errors import ConfigError
from espnet3.utils.smoke.refinement import Refinement, read_refinement


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "conf" / "smoke.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return read_refinement(tmp_path)

    return read


def test_without_the_file_nothing_is_refined(tmp_path):
    assert read_refinement(tmp_path) == Refinement()


@pytest.mark.parametrize("text", ["", "training: {}\n", "training: {trainer: {}}\n"])
def test_an_empty_mapping_changes_nothing(read, text):
    assert read(text) == Refinement()


def test_each_value_becomes_an_override_with_its_place(read, tmp_path):
    found = read("training:\n  create_dataset:\n    sizes: {train: 3}\n  seed: null\n")
    assert found.makes_data
    first, second = found.overrides
    assert (first.slot, first.key, first.value) == ("training", "create_dataset.sizes.train", 3)
    assert (second.key, second.value) == ("seed", None)
    assert first.text == "training.create_dataset.sizes.train=3"
    assert (first.source.file, first.source.line) == (str(tmp_path / "conf/smoke.yaml"), 3)


def test_an_empty_create_dataset_says_that_the_stage_may_run(read):
    assert read("training: {create_dataset: {}}\n") == Refinement(makes_data=True)


@pytest.mark.parametrize(
    ("text", "expected"), [("[]\n", "mapping of slots"), ("training: 3\n", "mapping of keys")]
)
def test_another_form_is_refused(read, text, expected):
    with pytest.raises(ConfigError, match=expected) as error:
        read(text)
    assert "smoke.yaml" in str(error.value)
