"""Words of the training text that become ``<unk>`` are named, with the key to change."""

from __future__ import annotations

import pytest

from espnet3.systems.asr.tokenizers.sentencepiece import train_sentencepiece

SENTENCES = ["one two three", "one two", "one nine"] * 4


@pytest.fixture
def warnings(tmp_path, caplog):
    def train(**options) -> str:
        text = tmp_path / "train.txt"
        text.write_text("\n".join(options.pop("sentences", SENTENCES)))
        caplog.clear()
        train_sentencepiece(text, tmp_path / "out", **options)
        return caplog.text

    return train


def test_a_word_model_that_is_too_small_names_its_words_and_the_size_it_needs(warnings):
    text = warnings(model_type="word", vocab_size=5)
    assert "tokenizer.vocab_size = 5: 2 of 4 words" in text
    assert "'three' (4 times), 'nine' (4 times)" in text or "'nine' (4 times), 'three'" in text
    assert "with tokenizer.vocab_size: 7 it knows all" in text
    assert warnings(model_type="word", vocab_size=7) == ""


def test_characters_without_a_symbol_are_named(warnings):
    rare = [*["abab ab ba"] * 50, "ab Ωx"]
    text = warnings(model_type="char", vocab_size=6, sentences=rare, character_coverage=0.99)
    assert "1 of 4 words" in text
    assert "'Ωx'" in text
    assert "raise tokenizer.character_coverage" in text


def test_many_words_are_summed_up(warnings):
    text = warnings(model_type="word", vocab_size=4, sentences=[" ".join("abcdefghij")] * 3)
    assert text.count("times)") == 5
    assert ", …" in text
