from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from espnet3.errors import DataError
from espnet3.publication import InferenceSession
from espnet3.publication.session_inputs import read_rate, to_samples

RATE = 8000


class Rated:
    """Declares the rate of its input, as our recogniser does."""

    sample_rate = RATE

    def __call__(self, speech):
        return speech


def tone(rate, seconds=0.5):
    return np.sin(2 * np.pi * 200 * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(16000), tone(16000)], axis=1), 16000, subtype="FLOAT")
    return path


def test_every_form_of_the_same_audio_gives_the_same_samples(wav):
    session = InferenceSession(Rated())
    stereo = np.stack([tone(16000), tone(16000)], axis=1)
    pcm = np.round(tone(16000) * 32767).astype(np.int16)
    expected = tone(RATE)
    forms = [wav, str(wav), wav.read_bytes(), bytearray(wav.read_bytes()), (16000, stereo),
             (16000, pcm), (np.int64(16000), torch.from_numpy(tone(16000))),
             (RATE, tone(RATE).astype(np.float64))]  # fmt: skip
    for form in forms:
        samples = session(form)
        assert samples.dtype == np.float32
        assert samples.shape == expected.shape
        # The ends differ, because a resampler sees silence there.
        np.testing.assert_allclose(samples[100:-100], expected[100:-100], atol=2e-3)


def test_samples_are_passed_on_as_they_are():
    session = InferenceSession(Rated())
    for value in (tone(RATE), torch.zeros(3), np.zeros(2, dtype=np.int16)):
        assert session(value) is value


def test_a_batch_may_mix_forms(wav):
    session = InferenceSession(Rated(), prefer_model_batch=True)
    first, second = session.forward_batch([wav, {"speech": (16000, tone(16000))}])
    assert first.shape == second.shape == (RATE // 2,)


@pytest.mark.parametrize(
    ("dtype", "low"), [("uint8", 0), ("int8", -128), ("int16", -32768), ("int32", -(2**31))]
)
def test_integers_are_scaled_by_their_type(dtype, low):
    assert to_samples((RATE, np.array([low], dtype=dtype)), RATE)[0] == -1.0


@pytest.mark.parametrize(
    "value",
    [(RATE,), (RATE, 2, 3), (0, [1.0]), (8000.5, [1.0]), (RATE, np.array(["a"])),
     (RATE, np.zeros((1, 1, 1))), b"no audio"],
)  # fmt: skip
def test_what_is_no_audio_is_refused(value):
    with pytest.raises(DataError):
        InferenceSession(Rated())(value)


@pytest.mark.parametrize("rate", [1, 999, 10**7, 10**18])
def test_a_rate_that_no_audio_has_is_refused_at_once(rate):
    with pytest.raises(DataError, match=f"cannot resample from {rate} Hz"):
        to_samples((rate, np.zeros(10, dtype=np.float32)), RATE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array(["a", "b"]), "samples of type <U1 are no audio"),
        (np.array([None, 1.0]), "samples of type object are no audio"),
        (np.zeros(3, dtype=bool), "samples of type bool are no audio"),
        ((True, np.zeros(3)), "the rate being a whole number"),
        ([RATE, np.zeros(3)], r"item 1 is of type ndarray\n  .*\(rate, samples\)"),
        ((RATE, [0.0, [1.0]]), "samples are no array"),
        ([0.0, None], "item 1 is of type NoneType"),
        ((RATE, np.zeros((2, 7626))), r"shape \(2, 7626\).*\n.*transpose"),
    ],
)
def test_a_value_of_another_type_or_shape_is_told_in_our_words(value, message):
    with pytest.raises(DataError, match=message):
        InferenceSession(Rated())(value)


@pytest.mark.parametrize("make", [
    lambda x: x.tolist(), lambda x: x.astype(">f4"), lambda x: x.astype(np.longdouble),
    lambda x: (RATE, x.astype(">f4")), lambda x: (RATE, torch.from_numpy(x).bfloat16()),
])  # fmt: skip
def test_floats_of_every_form_become_samples(make):
    expected = np.array([0.5, -0.25, 0.0], dtype=np.float32)
    samples = InferenceSession(Rated())(make(expected))
    assert samples.dtype == np.dtype("float32") and samples.dtype.isnative
    np.testing.assert_array_equal(samples, expected)


def test_a_tensor_that_numpy_does_not_know_is_passed_on_after_the_check():
    session = InferenceSession(Rated())
    samples = torch.zeros(3, dtype=torch.bfloat16)
    assert session(samples) is samples
    with pytest.raises(DataError, match="item 1 is nan"):
        session(torch.tensor([0.0, float("nan")], dtype=torch.bfloat16))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        InferenceSession(Rated())(tmp_path / "gone.wav")


def test_other_inputs_and_models_without_a_rate_are_left_alone(wav):
    class Both(Rated):
        def __call__(self, speech, text):
            return text, len(speech)

    session = InferenceSession(Both(), input_key=["speech", "text"])
    assert session({"speech": str(wav), "text": "a.wav"}) == ("a.wav", RATE // 2)
    assert InferenceSession(lambda speech: speech)("a.wav") == "a.wav"


@pytest.mark.parametrize("declares", [False, True])
def test_back_ends_are_called_one_at_a_time_unless_they_allow_more(declares):
    together = threading.Barrier(2)

    class Model:
        thread_safe = declares
        most = running = 0

        def __call__(self, speech):
            Model.running += 1
            Model.most = max(Model.most, Model.running)
            # Two calls that meet here do so at once; one that is alone goes on after a while.
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(30 if declares else 0.3)
            Model.running -= 1
            return speech

    session = InferenceSession(Model())
    results = {}
    threads = [
        threading.Thread(target=lambda n=n: results.__setitem__(n, session(n))) for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {0: 0, 1: 1}
    assert Model.most == (2 if declares else 1)


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({"frontend": "default", "frontend_conf": {"fs": "8k"}}, 8000),
        ({"frontend": "default", "frontend_conf": {}}, 16000),
        ({"frontend": "default", "frontend_conf": None}, 16000),
        ({"frontend": None}, None),
    ],
)
def test_the_rate_of_a_back_end_of_espnet2_is_that_of_its_front_end(options, rate):
    assert read_rate(espnet2_back_end(**options)) == rate


def test_a_back_end_of_espnet2_gets_all_forms_of_audio_as_floats(wav):
    rate = 16000
    samples = tone(rate)
    frontend_conf = {"fs": rate}
    back_end = espnet2_back_end(frontend="default", frontend_conf=frontend_conf)
    session = InferenceSession(back_end)
    integers = np.round(samples * 32767).astype("int16")
    forms = [str(wav), wav.read_bytes(), (rate, integers), integers, torch.tensor(integers)]
    for form in forms:
        heard = session(form)
        assert heard.dtype == np.float32
        np.testing.assert_allclose(heard, samples, atol=1e-4)
    assert session(samples) is samples


def espnet2_back_end(**options):
    """Stand in for a recogniser of ESPnet2, which takes arrays and tensors of floats."""

    def call(self, speech):
        return speech

    members = {"__call__": call, "asr_train_args": SimpleNamespace(**options)}
    return type("Speech2Text", (), {"__module__": "espnet2.bin.asr_inference", **members})()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "a value of type NoneType is no audio; give a path"),
        ({"speech": 1}, "a value of type int is no audio"),
        (np.array([0.0, np.nan, 1.0]), "item 1 is nan"),
        (torch.tensor([0.0, 1.0, -torch.inf]), "item 2 is -inf"),
        ((RATE, np.array([np.inf, 0.0])), "item 0 is inf"),
        ("https://example.org/a.wav", "is an address, not a file: download it first"),
    ],
)
def test_the_message_says_what_audio_may_be(value, message):
    with pytest.raises(DataError, match=message):
        InferenceSession(Rated())(value)


def test_a_folder_is_no_audio(tmp_path):
    with pytest.raises(DataError, match="is a folder; name a file in it"):
        InferenceSession(Rated())(tmp_path)
