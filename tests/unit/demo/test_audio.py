from __future__ import annotations

import numpy as np
import pytest
import torch

from espnet3.demo import audio
from espnet3.demo.settings import ComponentSettings
from espnet3.errors import DataError
from tests.unit.demo.backends import Length
from tests.unit.demo.conftest import tone

SPEECH = ComponentSettings(name="speech", type="audio")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([0, 16384, -32768], np.int16), [0, 0.5, -1]),
        (np.array([0.25, -0.5]), [0.25, -0.5]),
        (np.array([[0.5, 0.0], [1.0, 0.5]], np.float32), [0.25, 0.75]),
    ],
    ids=["int16", "float64", "stereo"],
)
def test_recordings_become_mono_floats(samples, expected):
    rate, found = audio.read_audio((8000, samples), SPEECH, 8000)
    assert rate == 8000 and found.dtype == np.float32
    np.testing.assert_allclose(found, expected)


def test_channels_stay_where_they_are_wanted():
    settings = ComponentSettings(name="speech", type="audio", channels="keep")
    stereo = np.stack([tone(), -tone()], axis=1)
    rate, found = audio.read_audio((16000, stereo), settings, 8000)
    assert (rate, found.shape, found.dtype) == (8000, (8000, 2), np.float32)
    np.testing.assert_allclose(found[:, 0], -found[:, 1], atol=1e-6)
    assert not audio.read_audio((16000, stereo), SPEECH, 8000)[1].any()


def test_recordings_are_resampled_to_the_rate_of_the_model():
    rate, found = audio.read_audio((16000, tone()), SPEECH, 8000)
    assert (rate, len(found)) == (8000, 8000)


def test_without_a_known_rate_audio_stays_as_it_is(caplog):
    assert audio.read_audio((11025, tone(rate=11025)), SPEECH, None)[0] == 11025
    assert "does not declare a sample rate" in caplog.text


@pytest.mark.parametrize("value", [None, (8000, np.zeros(0, np.int16))])
def test_nothing_recorded_is_said_to_the_user(value):
    with pytest.raises(DataError, match="There is no audio"):
        audio.read_audio(value, SPEECH, 8000)


def test_a_recording_that_is_too_long_is_refused():
    short = ComponentSettings(name="speech", type="audio", max_seconds=2)
    assert audio.read_audio((8000, tone(2, 8000)), short, 8000)
    with pytest.raises(DataError, match="3 s long; at most 2 s"):
        audio.read_audio((8000, tone(3, 8000)), short, 8000)


@pytest.mark.parametrize("value", ["text", 3, None, (1, 2)])
def test_other_inputs_are_no_audio(value):
    assert audio.read_audio(value, ComponentSettings(name="speed"), 8000) is None


def test_the_rate_is_that_which_the_model_declares():
    class Session:
        model = type("Model", (), {"sample_rate": 16000})()

    assert audio.read_model_rate(Length()) == 8000
    assert audio.read_model_rate(Session()) == 16000
    assert audio.read_model_rate(len) is None


def test_waveforms_become_what_an_audio_component_takes():
    rate, samples = audio.write_audio(torch.zeros(1, 5), 8000)
    assert rate == 8000 and samples.shape == (5,)
    assert audio.write_audio("file.wav", None) == "file.wav"
    with pytest.raises(DataError, match="sample rate"):
        audio.write_audio(np.zeros(5), None)
