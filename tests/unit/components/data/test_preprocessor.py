from __future__ import annotations

import numpy as np
import pytest

from espnet3.components.data.preprocessor import CommonPreprocessor


@pytest.fixture
def preprocessor():
    return CommonPreprocessor(train=True, token_type="word", token_list=["<unk>", "one", "two"])


def test_text_becomes_ids_and_speech_float(preprocessor):
    data = {"speech": np.array([0, -32768], np.int16), "text": "two nine", "utt_id": "u"}
    sample = preprocessor("u", data)
    assert sample["text"].tolist() == [2, 0]
    assert sample["text"].dtype == np.int64
    assert sample["speech"].tolist() == [0, -1]
    assert sample["speech"].dtype == np.float32
    assert sample["utt_id"] == "u"
    assert data["text"] == "two nine"


def test_without_token_type_text_stays():
    assert CommonPreprocessor(False)("u", {"text": "two"}) == {"text": "two"}


def test_volume_is_normalised_to_the_peak():
    scale = CommonPreprocessor(False, speech_volume_normalize=0.5)
    assert scale("u", {"speech": np.array([0.1, -0.2])})["speech"].tolist() == [0.25, -0.5]
    assert scale("u", {"speech": np.zeros(2)})["speech"].tolist() == [0, 0]


def test_a_wrong_sample_rate_names_the_utterance():
    with pytest.raises(ValueError, match="'u' has 8000 Hz, the recipe expects 16000"):
        CommonPreprocessor(False, fs=16000)("u", {"fs": 8000})


def test_arguments_that_do_not_exist_are_named():
    with pytest.raises(TypeError, match="rir_scp"):
        CommonPreprocessor(True, rir_scp="rir.scp")
    with pytest.raises(RuntimeError, match="token_list"):
        CommonPreprocessor(True, token_type="word")
