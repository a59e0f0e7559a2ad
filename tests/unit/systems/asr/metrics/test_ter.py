from __future__ import annotations

import jiwer
import pytest
import sentencepiece

from espnet3.components.metrics.utterance_records import read_records
from espnet3.systems.asr.metrics.ter import TER
from espnet3.systems.asr.metrics.wer import WER


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bpe")
    (folder / "text").write_text("the cat sat on the mat\nthe dog sat on the log\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "bpe"),
        model_type="bpe",
        vocab_size=24,
        minloglevel=2,
    )
    return folder / "bpe.model"


def score(folder, metric, ref, hyp):
    (folder / "ref.scp").write_text(f"a {ref}\n")
    (folder / "hyp.scp").write_text(f"a {hyp}\n")
    return metric({name: folder / f"{name}.scp" for name in ("ref", "hyp")}, "clean", folder)


def test_pieces_of_a_model_are_compared(tmp_path, model):
    metric = TER(bpemodel=model)
    ref, hyp = "the cat sat on the mat", "the dog sat the mat"
    rate = score(tmp_path, metric, ref, hyp)["TER"]
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    pieces = [" ".join(processor.encode(text, out_type=str)) for text in (ref, hyp)]
    assert len(pieces[0].split()) > len(ref.split())
    assert rate == round(100 * jiwer.wer(*pieces), 2)
    (record,) = read_records(tmp_path / "clean" / "ter_utterances.jsonl")
    assert record.ref == pieces[0].split()
    assert metric.details["unit"]["name"] == "piece"
    assert len(metric.details["unit"]["model_sha256"]) == 64


def test_given_tokens_are_separated_by_whitespace(tmp_path):
    metric = TER()
    assert score(tmp_path, metric, "_a b _c", "_a _c") == {"TER": 33.33}
    assert metric.details["unit"] == {"name": "token"}
    words = WER()
    score(tmp_path, words, "a", "a")
    assert words.details["unit"] == {"name": "word"}


def test_an_unreadable_model_is_reported_before_anything_is_scored(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.model"):
        TER(bpemodel=tmp_path / "nowhere.model")
    (tmp_path / "bad.model").write_text("x")
    with pytest.raises(RuntimeError, match=r"bad\.model is not a SentencePiece model"):
        TER(bpemodel=tmp_path / "bad.model")
