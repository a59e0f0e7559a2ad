from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.demo.spectrogram import draw_spectrogram


def brightest_row(hertz: float, rate: int = 16000) -> float:
    """Height of a tone in the picture: 0 is the bottom, 1 the top."""
    picture = draw_spectrogram(np.sin(2 * np.pi * hertz * np.arange(rate) / rate), rate)
    rows = picture.sum(axis=(1, 2), dtype=np.int64)
    return 1 - rows.argmax() / (len(rows) - 1)


@pytest.mark.parametrize("hertz", [500, 2000, 6000])
def test_a_tone_is_a_line_at_its_frequency(hertz):
    assert brightest_row(hertz) == pytest.approx(hertz / 8000, abs=0.02)


@settings(max_examples=25)
@given(st.integers(1, 30_000), st.sampled_from([8000, 16000, 44100]))
def test_every_length_gives_a_picture_of_bounded_size(length, rate):
    picture = draw_spectrogram(np.zeros(length, np.float32), rate)
    rows, columns, channels = picture.shape
    assert picture.dtype == np.uint8 and channels == 3
    assert 0 < columns <= 600 and 200 < rows <= 1025
