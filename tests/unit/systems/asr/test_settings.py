from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from espnet3.errors import ConfigError, UnknownKeyError
from espnet3.systems.asr.settings import TokenizerSettings
from espnet3.utils.settings import parse_settings

SECTION = {"model_type": "word", "vocab_size": 13, "save_path": "data/tokenizer"}


def parse(**extra):
    return parse_settings({**SECTION, **extra}, TokenizerSettings, key="tokenizer")


def test_builder_arguments_are_the_other_keys_of_its_block():
    settings = parse(text_builder={"func": "src.text.build", "split": "train"})
    assert settings.text_builder.func == "src.text.build"
    assert settings.text_builder.arguments == {"split": "train"}


def test_options_that_are_not_set_are_not_passed_on():
    assert parse().trainer_options() == {"vocab_size": 13, "model_type": "word"}
    options = parse(character_coverage=0.9995, user_defined_symbols=["<laugh>"]).trainer_options()
    assert options["character_coverage"] == 0.9995
    assert options["user_defined_symbols"] == ("<laugh>",)


def test_a_tokenizer_is_trained_only_when_all_three_files_exist(tmp_path: Path):
    settings = parse(save_path=str(tmp_path))
    for path in settings.files:
        assert not settings.is_trained()
        path.write_text("")
    assert settings.is_trained()
    assert [p.name for p in settings.files] == ["word.model", "word.vocab", "tokens.txt"]


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        ({"model_type": "words"}, ConfigError),
        ({"vocab_size": 3}, ConfigError),
        ({"vocab_size": "13"}, ConfigError),
        ({"character_coverage": 1.5}, ConfigError),
        ({"vocabsize": 13}, UnknownKeyError),
    ],
)
def test_wrong_values_are_refused_by_key(extra, error):
    with pytest.raises(error, match="tokenizer"):
        parse(**extra)


def test_reading_the_settings_does_not_load_torch():
    code = "import sys, espnet3.systems.asr.settings; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
