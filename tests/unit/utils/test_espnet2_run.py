"""The `config.yaml` of a training, ESPnet2's or ours, as a section `model`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from espnet3.errors import ConfigError
from espnet3.utils.config_utils import load_config_with_defaults, load_yaml_value
from espnet3.utils.espnet2_run import is_run_config, locate_files, model_options
from espnet3.utils.espnet2_table import RUN_OPTIONS
from espnet3.utils.overrides import apply_overrides
from espnet3.utils.task_options import check_task_options

STATS = "exp/stats/train/feats_stats.npz"
TASK = "espnet2.tasks.asr.ASRTask"


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """`config.yaml` below the folder that a command of ESPnet2 ran in, with its statistics."""
    (tmp_path / STATS).parent.mkdir(parents=True)
    (tmp_path / STATS).write_text("")
    content = {
        **dict.fromkeys(RUN_OPTIONS - {"config"}),
        "encoder": "rnn",
        "token_list": "data/absent.txt",
        "normalize": "global_mvn",
        "normalize_conf": {"stats_file": STATS},
        # What a training of ours adds.
        "dataset": {"_target_": "espnet3.components.data.data_organizer.DataOrganizer"},
        "optimizer": {"_target_": "torch.optim.Adam"},
    }
    path = tmp_path / "exp" / "asr" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(content))
    return path


def test_files_are_found_in_the_folders_above_and_our_sections_are_left_out(
    run_file: Path, tmp_path: Path
) -> None:
    model = load_yaml_value(run_file)
    assert model["normalize_conf"]["stats_file"] == str(tmp_path / STATS)
    assert model["token_list"] == "data/absent.txt"
    assert "dataset" not in model and "optimizer" not in model
    assert is_run_config(model)
    assert list(check_task_options({"task": TASK, "model": model})) == []
    assert load_yaml_value(run_file, "optimizer._target_") == "torch.optim.Adam"


def test_a_file_in_defaults_can_be_changed_key_by_key(run_file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "training.yaml"
    text = f"defaults: [{{model: {run_file}}}]\nmodel: {{normalize_conf: {{norm_vars: false}}}}\n"
    recipe.write_text(text)
    model = load_config_with_defaults(recipe).model
    assert model.normalize_conf == {"stats_file": str(tmp_path / STATS), "norm_vars": False}
    assert "dataset" not in model


def test_other_mappings_stay_as_they_are(tmp_path: Path) -> None:
    other = {"stats_file": STATS, "dataset": {}}
    assert locate_files(other, tmp_path / "a.yaml") is other
    assert model_options(other) == other


def test_one_key_of_a_loaded_file_can_be_set(run_file: Path) -> None:
    config = OmegaConf.create({"model": f"${{load_yaml:{run_file}}}"})
    apply_overrides({"training": config}, ["training.model.normalize_conf.stats_file=mine.npz"])
    assert config.model.normalize_conf.stats_file == "mine.npz"
    assert config.model.encoder == "rnn"


def test_a_file_that_does_not_exist_cannot_be_set_key_by_key(tmp_path: Path) -> None:
    config = OmegaConf.create({"model": f"${{load_yaml:{tmp_path}/no.yaml}}"})
    with pytest.raises(ConfigError, match="model is the interpolation"):
        apply_overrides({"training": config}, ["training.model.encoder=rnn"])


def test_keys_that_would_replace_a_loaded_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("model: ${load_yaml:config.yaml}\n")
    path = tmp_path / "mine.yaml"
    path.write_text("defaults: [base]\nmodel: {encoder: rnn}\n")
    with pytest.raises(ConfigError, match=r"mine.yaml:2: model: would replace all of") as caught:
        load_config_with_defaults(path)
    assert "- model: <file>" in str(caught.value)
    path.write_text("defaults: [base]\noverride model: {encoder: rnn}\n")
    assert load_config_with_defaults(path).model == {"encoder": "rnn"}
