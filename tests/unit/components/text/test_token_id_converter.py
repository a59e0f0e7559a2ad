from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.text import TokenIDConverter


def test_ids_are_positions_and_unknown_symbols_become_unk():
    converter = TokenIDConverter(["<blank>", "<unk>", "a", "b"])
    assert converter.tokens2ids(["b", "zzz", "a"]) == [3, 1, 2]
    assert converter.ids2tokens([2, 0]) == ["a", "<blank>"]
    assert converter.get_num_vocabulary_size() == 4


def test_file_keeps_a_line_that_is_a_single_space(tmp_path):
    path = tmp_path / "tokens.txt"
    path.write_bytes("<unk>\n \n\u2581the\r\nx".encode())
    assert TokenIDConverter(path).token_list == ["<unk>", " ", "\u2581the", "x"]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [(["<unk>", "a", "a"], "'a' is duplicated"), (["a"], "'<unk>' does not exist")],
)
def test_bad_vocabularies_are_runtime_errors(tokens, message):
    with pytest.raises(RuntimeError, match=message):
        TokenIDConverter(tokens)


def test_missing_file_names_the_stage_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="train_tokenizer"):
        TokenIDConverter(tmp_path / "none.txt")


def test_an_id_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="token id -1"):
        TokenIDConverter(["<unk>"]).ids2tokens([-1])


@given(st.lists(st.text(), unique=True).filter(lambda tokens: "<unk>" not in tokens))
def test_known_symbols_survive_the_round_trip(tokens):
    converter = TokenIDConverter(["<unk>", *tokens])
    assert converter.ids2tokens(converter.tokens2ids(tokens)) == tokens
