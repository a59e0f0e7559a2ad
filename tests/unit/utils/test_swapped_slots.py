"""A file under the flag of another slot is one clear mistake."""

from __future__ import annotations

import pytest

from espnet3.utils.config_utils import load_config_with_defaults
from espnet3.utils.stage_table import SLOT_FILES
from espnet3.utils.swapped_slots import find_swapped


def find(tmp_path, slot, text, name="file"):
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    config = load_config_with_defaults(path, resolve=False)
    files = {**SLOT_FILES, "training_easy_config": "training.yaml", "export_config": None}
    return [error.message for error in find_swapped({slot: config}, files)]


@pytest.mark.parametrize("slot", ["training_config", "training_easy_config"])
def test_a_file_of_another_slot_says_which(tmp_path, slot):
    flag = f"--{slot}"
    (message,) = find(tmp_path, slot, "strict: true\nbatch_size: 4\noutput_fn: a.b\n")
    assert "looks like a file for --inference_config" in message
    assert f"not for {flag}: it has batch_size, output_fn" in message


def test_one_unknown_key_counts_only_with_the_name_of_the_file(tmp_path):
    text = "pack_model: {include: []}\n"
    assert find(tmp_path, "metrics_config", text) == []
    (message,) = find(tmp_path, "metrics_config", text, "publication_v2")
    assert "--publication_config" in message


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        ("training_config", "optimizer: {}\nbatch_size: 4\noutput_fn: a.b\n"),
        ("training_config", "seed: 1\ndataset: {}\n"),
        ("inference_config", "sead: 1\nmodle: {}\n"),
        ("export_config", "batch_size: 4\noutput_fn: a.b\n"),
        ("metrics_config", "{}\n"),
    ],
)
def test_a_file_that_fits_or_fits_nowhere_is_left_to_the_other_checks(tmp_path, slot, text):
    assert find(tmp_path, slot, text) == []
