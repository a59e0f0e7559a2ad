from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from espnet3.errors import ConfigError, UnknownKeyError
from espnet3.publication.settings import PackSettings, UploadSettings
from espnet3.utils.settings import parse_settings

TEMPLATE = Path(__file__).parents[3] / "egs3" / "TEMPLATE" / "asr" / "conf" / "publication.yaml"


def parse(section):
    return parse_settings(section, PackSettings, key="pack_model")


def test_the_template_parses():
    content = yaml.safe_load(TEMPLATE.read_text())
    settings = parse(content["pack_model"])
    assert settings.exclude_patterns == ("**/*.log", "**/tensorboard/**", "**/wandb/**")
    assert settings.espnet2 is not None
    assert settings.espnet2.task == "asr"
    upload = parse_settings(content["upload_model"], UploadSettings, key="upload_model")
    assert upload.hf_repo


def test_defaults():
    settings = parse(None)
    assert (settings.strategy, settings.include_data_dir, settings.out_dir) == ("auto", False, None)


def test_paths_may_stand_alone_in_a_list_or_be_absent():
    settings = parse({"include": "a", "extra": ["b", "c"], "exclude": None})
    assert settings.include_paths == (Path("a"),)
    assert settings.extra_paths == (Path("b"), Path("c"))
    assert settings.exclude_patterns == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("off", "off"), ("'off'", "off"), ("no", "off"), ("warn", "warn"), ("false", "off")],
)
def test_off_may_stand_without_quotes(text, expected):
    section = OmegaConf.create(f"secret_scan: {text}")
    assert parse_settings(section, PackSettings, key="pack_model").secret_scan == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [("on", "YAML reads on, yes, true without quotes as true"), ("wran", 'did you mean "warn"')],
)
def test_another_value_lists_the_choices(text, advice):
    section = OmegaConf.create(f"secret_scan: {text}")
    with pytest.raises(ConfigError, match="must be one of error, warn, off") as caught:
        parse_settings(section, PackSettings, key="pack_model")
    assert advice in str(caught.value)


def test_misspelt_keys_are_refused_with_a_suggestion():
    with pytest.raises(UnknownKeyError, match="readme_template"):
        parse({"readme_templat": "x"})
    with pytest.raises(UnknownKeyError, match="hf_repo"):
        parse_settings({"hf_rep": "a/b"}, UploadSettings, key="upload_model")


@pytest.mark.parametrize("name", ["a/b", "", "a b", "../x", ".", ".."])
def test_artifact_names_are_plain(name):
    with pytest.raises(ValueError, match="letters, digits"):
        parse({"files": {name: "x"}})
