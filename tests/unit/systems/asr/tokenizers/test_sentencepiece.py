from __future__ import annotations

import logging
import multiprocessing
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece
import torch

from espnet3.components.text import SentencepiecesTokenizer, TokenIDConverter
from espnet3.errors import ConfigError, DataError
from espnet3.systems.asr.tokenizers import (
    add_special_tokens,
    prepare_sentences,
    train_sentencepiece,
)

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture
def text(tmp_path):
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(1, 7))) for _ in range(150)]
    path = tmp_path / "train.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def read_tokens(folder):
    return (folder / "tokens.txt").read_text(encoding="utf-8").split("\n")


def test_sentences_are_the_texts_without_ids(tmp_path):
    (tmp_path / "a").write_text("u1 one two\n\nu2\nu3  three-four \n", encoding="utf-8")
    (tmp_path / "b").write_text("u-4 fünf\n", encoding="utf-8")
    prepare_sentences([tmp_path / "a", str(tmp_path / "b")], tmp_path / "out", "-")
    written = (tmp_path / "out" / "train.txt").read_text(encoding="utf-8")
    assert written == "one two\nthreefour\nfünf"
    prepare_sentences(str(tmp_path / "b"), tmp_path / "out")
    assert (tmp_path / "out" / "train.txt").read_text(encoding="utf-8") == "fünf"


def test_a_missing_transcript_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        prepare_sentences(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize(
    ("model_type", "size"), [("word", 13), ("bpe", 40), ("unigram", 25), ("char", 19)]
)
def test_training_writes_three_files_of_the_promised_size(tmp_path, text, model_type, size):
    out = tmp_path / "tokenizer"
    train_sentencepiece(text, out, vocab_size=size, model_type=model_type)
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["tokens.txt", f"{model_type}.model", f"{model_type}.vocab"]
    )
    tokens = read_tokens(out)
    assert len(tokens) == size
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    vocabulary = (out / f"{model_type}.vocab").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in vocabulary][3:] == tokens[2:-1]


def test_word_units_round_trip_through_ids(tmp_path, text):
    train_sentencepiece(text, tmp_path / "t", vocab_size=13, model_type="word")
    tokenizer = SentencepiecesTokenizer(tmp_path / "t" / "word.model")
    converter = TokenIDConverter(tmp_path / "t" / "tokens.txt")
    pieces = tokenizer.text2tokens("nine one one")
    ids = converter.tokens2ids(pieces)
    assert len(ids) == 3 and min(ids) > 1
    assert tokenizer.tokens2text(converter.ids2tokens(ids)) == "nine one one"


def test_options_reach_the_trainer(tmp_path, text):
    train_sentencepiece(
        text, tmp_path / "t", vocab_size=30, model_type="bpe", user_defined_symbols=["<laugh>"]
    )
    tokenizer = SentencepiecesTokenizer(tmp_path / "t" / "bpe.model")
    assert "<laugh>" in tokenizer.text2tokens("one<laugh>two")
    assert "<laugh>" in read_tokens(tmp_path / "t")
    rare = tmp_path / "rare.txt"
    rare.write_text(text.read_text() + "\nßß", encoding="utf-8")
    train_sentencepiece(
        rare, tmp_path / "c", vocab_size=19, model_type="char", character_coverage=0.999
    )
    assert "ß" not in read_tokens(tmp_path / "c")


@pytest.mark.parametrize(
    ("model_type", "size", "largest"), [("word", 500, 13), ("char", 500, 19), ("bpe", 500, None)]
)
def test_a_vocabulary_larger_than_the_text_allows_states_the_limit(
    tmp_path, text, model_type, size, largest
):
    with pytest.raises(ConfigError, match=r"at most \d+ symbols") as caught:
        train_sentencepiece(text, tmp_path / "t", vocab_size=size, model_type=model_type)
    limit = int(str(caught.value).split("at most ")[1].split()[0])
    assert largest in (None, limit)
    assert not (tmp_path / "t").exists()
    train_sentencepiece(text, tmp_path / "t", vocab_size=limit, model_type=model_type)
    assert len(read_tokens(tmp_path / "t")) == limit


def test_a_vocabulary_smaller_than_the_alphabet_states_the_limit(tmp_path, text):
    with pytest.raises(ConfigError, match="need at least 19 symbols"):
        train_sentencepiece(text, tmp_path / "t", vocab_size=10, model_type="bpe")


def test_text_without_words_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n\n")
    with pytest.raises(DataError, match="no text"):
        train_sentencepiece(tmp_path / "empty.txt", tmp_path / "t", vocab_size=5)
    with pytest.raises(FileNotFoundError, match="absent.txt"):
        train_sentencepiece(tmp_path / "absent.txt", tmp_path / "t", vocab_size=5)


def test_models_are_reproducible_and_hold_no_path(tmp_path, text):
    for name in ("a", "b"):
        train_sentencepiece(text, tmp_path / name, vocab_size=13, model_type="word")
    first = (tmp_path / "a" / "word.model").read_bytes()
    assert first == (tmp_path / "b" / "word.model").read_bytes()
    assert str(tmp_path).encode() not in first


def test_other_files_in_the_folder_survive_a_second_training(tmp_path, text):
    out = tmp_path / "t"
    train_sentencepiece(text, out, vocab_size=13, model_type="word")
    (out / "train.txt").write_text("mine")
    train_sentencepiece(text, out, vocab_size=10, model_type="word")
    assert (out / "train.txt").read_text() == "mine"
    assert len(read_tokens(out)) == 10


def _train_elsewhere(text, out, workdir):
    os.chdir(workdir)
    train_sentencepiece(text, out, vocab_size=13, model_type="word")


def test_concurrent_trainings_share_a_working_directory(tmp_path, text):
    workdir = tmp_path / "cwd"
    workdir.mkdir()
    context = multiprocessing.get_context("spawn")
    jobs = [
        context.Process(target=_train_elsewhere, args=(text, tmp_path / name, workdir))
        for name in ("a", "b")
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
        assert job.exitcode == 0
    assert read_tokens(tmp_path / "a") == read_tokens(tmp_path / "b")
    assert not list(workdir.iterdir())


def test_importing_the_helpers_loads_neither_torch_nor_sentencepiece():
    code = (
        "import sys, espnet3.systems.asr.tokenizers;"
        "print({'torch', 'sentencepiece'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def objects(tmp_path, text):
    train_sentencepiece(text, tmp_path / "t", vocab_size=30, model_type="bpe")
    tokenizer = SentencepiecesTokenizer(tmp_path / "t" / "bpe.model", {"enable_sampling": False})
    converter = TokenIDConverter(tmp_path / "t" / "tokens.txt")
    torch.manual_seed(0)
    return tokenizer, converter, torch.nn.Embedding(30, 6, padding_idx=29).double()


def test_added_tokens_are_inserted_in_order_after_a_symbol(objects):
    tokenizer, converter, embedding = add_special_tokens(
        *objects, ["<noise>", "<unk>", "<music>"], insert_after="<unk>"
    )
    old = objects[1].token_list
    assert converter.token_list == [*old[:2], "<noise>", "<music>", *old[2:]]
    assert tokenizer.text2tokens("one<noise>two")[-4:-3] == ["<noise>"]
    assert tokenizer.encode_kwargs == {"enable_sampling": False}
    assert Path(tokenizer.model).name == "bpe_sp.model"
    weight, before = embedding.weight, objects[2].weight
    assert torch.equal(weight[:2], before[:2]) and torch.equal(weight[4:], before[2:])
    assert (weight[2:4] - before.mean(0)).abs().max() < 0.1
    assert not torch.equal(weight[2], weight[3])
    assert weight.dtype == torch.float64
    assert embedding.padding_idx == 31
    assert weight.requires_grad


def test_pieces_of_the_model_follow_the_given_order(objects):
    tokenizer, _, _ = add_special_tokens(*objects, ["<b>", "<a>"], insert_after="<unk>")
    processor = sentencepiece.SentencePieceProcessor(model_file=tokenizer.model)
    assert [processor.id_to_piece(i) for i in (30, 31)] == ["<b>", "<a>"]


@pytest.mark.parametrize("insert_after", [None, "<absent>"])
def test_without_a_known_place_tokens_go_to_the_end_with_a_warning(objects, caplog, insert_after):
    with caplog.at_level(logging.WARNING):
        _, converter, _ = add_special_tokens(*objects, ["<noise>"], insert_after)
    assert converter.token_list[-1] == "<noise>"
    assert "<sos/eos>" in caplog.text
    assert ("<absent>" in caplog.text) == (insert_after is not None)


def test_known_tokens_change_nothing(objects):
    assert add_special_tokens(*objects, ["<unk>"]) == objects


def test_an_embedding_of_another_size_is_refused(objects):
    with pytest.raises(ConfigError, match="7 rows for a token list of 30"):
        add_special_tokens(*objects[:2], torch.nn.Embedding(7, 3), ["<noise>"])


def test_word_models_cannot_hold_symbols_that_lack_spaces_around(tmp_path, text):
    train_sentencepiece(text, tmp_path / "w", vocab_size=13, model_type="word")
    tokenizer = SentencepiecesTokenizer(tmp_path / "w" / "word.model")
    converter = TokenIDConverter(tmp_path / "w" / "tokens.txt")
    with pytest.raises(ConfigError, match="in one piece"):
        add_special_tokens(tokenizer, converter, torch.nn.Embedding(13, 2), ["<noise>"])


@pytest.mark.parametrize("model_type", ["bpe", "unigram", "char", "word"])
def test_with_a_soft_limit_a_small_text_gives_what_it_can(tmp_path, model_type):
    text = tmp_path / "text.txt"
    text.write_text("one two three\nfour five six\nseven eight nine\n")
    train_sentencepiece(text, tmp_path, 5000, 1.0, model_type, hard_vocab_limit=False)
    symbols = (tmp_path / "tokens.txt").read_text().splitlines()
    assert 4 < len(symbols) < 200
    with pytest.raises(ConfigError, match="gives at most"):
        train_sentencepiece(text, tmp_path, 5000, 1.0, model_type)
