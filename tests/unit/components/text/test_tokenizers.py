from __future__ import annotations

import io
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.text import (
    CharTokenizer,
    SentencepiecesTokenizer,
    WordTokenizer,
    build_tokenizer,
)
from espnet3.utils.import_utils import TRUSTED_TARGETS


@pytest.fixture(scope="module")
def bpe_model(tmp_path_factory):
    import sentencepiece

    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["one two three four", "two two one", "four three one"] * 5),
        model_writer=stream,
        vocab_size=20,
        model_type="bpe",
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("spm") / "bpe.model"
    path.write_bytes(stream.getvalue())
    return path


def test_sentencepiece_round_trip_also_after_pickling(bpe_model):
    tokenizer = SentencepiecesTokenizer(bpe_model)
    tokens = tokenizer.text2tokens("one two")
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.text2tokens("one two") == tokens
    assert copy.tokens2text(tokens) == "one two"
    assert copy.model == str(bpe_model)


def test_sentencepiece_reads_the_model_only_when_used(tmp_path):
    tokenizer = SentencepiecesTokenizer(tmp_path / "missing.model")
    with pytest.raises(FileNotFoundError, match=r"missing\.model"):
        tokenizer.text2tokens("one")


def test_characters_keep_listed_symbols_whole():
    tokenizer = CharTokenizer(non_linguistic_symbols=["<n>", "<noise>"])
    assert tokenizer.text2tokens("a <noise>b") == ["a", "<space>", "<noise>", "b"]
    removing = CharTokenizer(non_linguistic_symbols=["<noise>"], remove_non_linguistic_symbols=True)
    assert removing.text2tokens("a<noise>b") == ["a", "b"]


def test_symbols_can_come_from_a_file(tmp_path):
    (tmp_path / "nlsyms.txt").write_text("<noise>\n\n<laugh>\n", encoding="utf-8")
    tokenizer = WordTokenizer(
        non_linguistic_symbols=tmp_path / "nlsyms.txt", remove_non_linguistic_symbols=True
    )
    assert tokenizer.text2tokens("so <laugh> funny") == ["so", "funny"]


@given(st.text())
def test_characters_round_trip(line):
    tokenizer = CharTokenizer()
    assert tokenizer.tokens2text(tokenizer.text2tokens(line)) == line


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1)))
def test_words_round_trip(words):
    tokenizer = WordTokenizer()
    assert tokenizer.text2tokens(tokenizer.tokens2text(words)) == words


def test_build_tokenizer_picks_by_type(bpe_model):
    assert isinstance(build_tokenizer("bpe", bpemodel=bpe_model), SentencepiecesTokenizer)
    assert build_tokenizer("char", space_symbol="_").text2tokens("a b") == ["a", "_", "b"]
    assert build_tokenizer("word", delimiter=",").text2tokens("a b,c") == ["a b", "c"]


def test_build_tokenizer_refuses_what_it_cannot_build():
    with pytest.raises(ValueError, match="must be one of bpe, char, word"):
        build_tokenizer("phn")
    with pytest.raises(RuntimeError, match="bpemodel"):
        build_tokenizer("bpe")


def test_bundles_may_name_the_text_objects():
    assert "espnet3.components.text.tokenizers.SentencepiecesTokenizer" in TRUSTED_TARGETS
    assert "espnet3.components.text.token_id_converter.TokenIDConverter" in TRUSTED_TARGETS


def test_a_damaged_model_is_named(tmp_path):
    (tmp_path / "bpe.model").write_text("junk")
    with pytest.raises(ValueError, match=r"bpe\.model is not a SentencePiece model.*\n.*again"):
        build_tokenizer("bpe", bpemodel=tmp_path / "bpe.model").text2tokens("a")
