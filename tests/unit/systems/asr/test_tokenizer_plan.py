from __future__ import annotations

import logging

import pytest
from omegaconf import OmegaConf

from espnet3.systems.asr.system import ASRSystem
from espnet3.utils.run_plan import plan_stage


@pytest.fixture
def system(tmp_path):
    (tmp_path / "text.tsv").write_text("x")
    config = {
        "exp_dir": str(tmp_path / "exp"),
        "dataset": {"_target_": "m.Data"},
        "model": {"_target_": "m.Model"},
        "tokenizer": {
            "save_path": str(tmp_path / "tokenizer"),
            "model_type": "char",
            "vocab_size": 5,
            "text_builder": {"func": "m.texts", "path": str(tmp_path / "text.tsv")},
        },
    }
    return ASRSystem(training_config=OmegaConf.create(config))


def write_tokenizer(system, symbols):
    settings = system.tokenizer_settings()
    settings.save_path.mkdir()
    for path in settings.files:
        path.write_text("\n".join("abcdefgh"[:symbols]))


def test_the_plan_says_what_the_stage_does(system, tmp_path, caplog):
    plan = plan_stage(system, "train_tokenizer")
    assert (plan.state, plan.why) == ("would run", "no char.model, char.vocab, tokens.txt")
    assert plan.inputs == (tmp_path / "text.tsv",)
    assert "trains the tokenizer first" in plan_stage(system, "train").notes
    write_tokenizer(system, 5)
    plan = plan_stage(system, "train_tokenizer")
    assert (plan.state, plan.notes) == ("up to date", ())
    assert "trains the tokenizer first" not in plan_stage(system, "train").notes
    with caplog.at_level(logging.INFO):
        system.train_tokenizer()
    assert "already exists" in caplog.text
    assert "WARNING" not in [record.levelname for record in caplog.records]


def test_a_vocabulary_of_another_size_is_told_by_plan_and_stage(system, caplog):
    write_tokenizer(system, 4)
    plan = plan_stage(system, "train_tokenizer")
    assert plan.state == "up to date"
    assert "has 4 symbols, tokenizer.vocab_size = 5 is not applied" in plan.notes[0]
    system.train_tokenizer()
    assert plan.notes[0] in caplog.text
