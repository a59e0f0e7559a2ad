"""Make the waveform of a string out of its recordings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import soxr

from .plan import CorpusSettings, DigitString
from .recordings import Take


def join_string(
    string: DigitString, recordings: Mapping[Take, np.ndarray], settings: CorpusSettings
) -> np.ndarray:
    """Return the waveform of a string, int16, shape ``(samples,)``.

    Recordings are brought to one level, because speakers differ by 20 dB; then joined with
    pauses, changed in speed, and covered with white noise, so that the joints do not show as
    digital silence.
    """
    pieces = []
    for take, pause in zip(string.takes, string.pauses, strict=False):
        pieces.append(np.zeros(int(pause * settings.sample_rate)))
        samples = recordings[take] / 32768.0
        pieces.append(samples * settings.rms / np.sqrt(np.mean(samples**2)))
    pieces.append(np.zeros(int(string.pauses[-1] * settings.sample_rate)))
    speech = np.concatenate(pieces)
    if string.speed != 1.0:
        speech = soxr.resample(speech, string.speed * settings.sample_rate, settings.sample_rate)
    # RandomState, because numpy promises that its stream never changes.
    noise = np.random.RandomState(string.seed).standard_normal(len(speech))
    noisy = speech + settings.rms * 10 ** (-string.snr_db / 20) * noise
    return np.clip(np.rint(noisy * 32768.0), -32768, 32767).astype(np.int16)
