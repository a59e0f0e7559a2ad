from __future__ import annotations

import pytest

from espnet3.systems.asr.tokenizers import TokenJoiner

SPECIAL = ["<blank>", "<unk>"]


@pytest.mark.parametrize(
    ("units", "ids", "text", "has_words"),
    [
        (["▁one", "▁two"], [2, 3, 2], "one two one", True),
        (["▁hel", "lo", "▁", "you"], [2, 3, 4, 5], "hello you", True),
        (["one", "two"], [2, 3], "one two", True),
        (["a", "b", "<space>"], [2, 4, 3], "a b", True),
        (["天", "地"], [2, 3], "天地", False),
        (["one", "two"], [1, 2], "<unk> one", True),
    ],
)
def test_the_token_list_decides_how_tokens_are_joined(units, ids, text, has_words):
    joiner = TokenJoiner([*SPECIAL, *units, "<sos/eos>"])
    assert joiner(ids) == text
    assert joiner.has_words is has_words


def test_blanks_and_sentence_marks_are_silent():
    joiner = TokenJoiner([*SPECIAL, "one", "two", "<sos/eos>"])
    assert joiner([0, 2, 0, 3, 4]) == "one two"
