"""Speak a list of utterances with eSpeak NG. Run as a script, in a process of its own.

eSpeak NG keeps state from one utterance to the next and offers no way to reset it. The same
utterances in the same order in a fresh process give the same bytes; so a part of the corpus is one
run of this script, and it does not matter how many parts are made at a time.

The job comes as JSON on standard input: ``library``, ``data``, ``sample_rate``, ``out_dir`` and
``utterances`` (mappings with the fields of :class:`~.plan.Utterance`). One line is written to
standard output per finished WAV file. The module imports nothing of the project, so that a process
starts in a fifth of a second.
"""

from __future__ import annotations

import ctypes
import json
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import soxr

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: espeak_Synth returns when all audio has been delivered
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_CHARACTERS = 1  # espeak_POSITION_TYPE
_UTF8 = 1  # espeakCHARS_UTF8
_AUDIO_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Synthesizer:
    """eSpeak NG, loaded from a shared library.

    Args:
        library: Path of the shared library.
        data: Path of the folder ``espeak-ng-data``.
    """

    def __init__(self, library: str, data: str) -> None:
        self._library = ctypes.CDLL(library)
        self._library.espeak_Synth.argtypes = [
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint),
            *(ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        ]
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self._chunks: list[bytes] = []
        self.sample_rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, str(data).encode(), 0
        )
        if self.sample_rate <= 0:
            raise RuntimeError(f"eSpeak NG cannot read its data in {data}")
        # ctypes does not keep the callback alive: the attribute does.
        self._callback = _AUDIO_CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, utterance: dict[str, Any]) -> np.ndarray:
        """Return the speech of one utterance, int16, shape ``(samples,)``."""
        library, text = self._library, utterance["text"].encode()
        if library.espeak_SetVoiceByName(utterance["voice"].encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {utterance['voice']!r}")
        library.espeak_SetParameter(_RATE, utterance["words_per_minute"], 0)
        library.espeak_SetParameter(_PITCH, utterance["pitch"], 0)
        library.espeak_SetParameter(_RANGE, utterance["pitch_range"], 0)
        library.espeak_ng_SetRandSeed(utterance["seed"])
        self._chunks.clear()
        status = library.espeak_Synth(text, len(text) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
        speech = np.frombuffer(b"".join(self._chunks), dtype=np.int16)
        if status != 0 or not speech.any():
            raise RuntimeError(f"eSpeak NG gave no speech for {utterance['utt_id']}")
        return speech

    def _receive(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def add_noise(speech: np.ndarray, *, gain_db: float, snr_db: float, seed: int) -> np.ndarray:
    """Change the level of int16 speech and add white noise; int16, same shape."""
    scaled = speech * 10 ** (gain_db / 20)
    noise_rms = np.sqrt(np.mean(scaled**2)) * 10 ** (-snr_db / 20)
    # RandomState, because numpy promises that its stream never changes.
    noisy = scaled + noise_rms * np.random.RandomState(seed).standard_normal(len(speech))
    return np.clip(np.rint(noisy), -32768, 32767).astype(np.int16)


def write_wav(path: Path, speech: np.ndarray, sample_rate: int) -> None:
    """Write int16 mono speech."""
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sample_rate)
        stream.writeframes(speech.astype("<i2").tobytes())


def main() -> None:
    """Read a job from standard input and write its WAV files."""
    job = json.load(sys.stdin)
    synthesizer = Synthesizer(job["library"], job["data"])
    for utterance in job["utterances"]:
        speech = synthesizer.speak(utterance)
        speech = soxr.resample(speech, synthesizer.sample_rate, job["sample_rate"])
        keys = ("gain_db", "snr_db", "seed")
        speech = add_noise(speech, **{key: utterance[key] for key in keys})
        path = Path(job["out_dir"]) / f"{utterance['utt_id']}.wav"
        write_wav(path, speech, job["sample_rate"])
        sys.stdout.write(f"{path.name}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
