"""Audio between the page and the model."""

from __future__ import annotations

import logging
import numbers
from pathlib import Path
from typing import Any

from espnet3.demo.settings import ComponentSettings
from espnet3.errors import DataError
from espnet3.publication.session_inputs import is_audio_key, read_rate, to_samples
from espnet3.utils.types import Hz

logger = logging.getLogger(__name__)

NO_AUDIO = "There is no audio: record something, or upload a file."
_FORMATS = "The page takes WAV, FLAC, Ogg and MP3."


def read_model_rate(model: Any) -> Hz | None:
    """Return the sample rate that a model, or the model in a session, declares."""
    inner = getattr(model, "model", None)
    found = (read_rate(model), _as_rate(getattr(model, "fs", None)), read_rate(inner))
    return next((rate for rate in found if rate is not None), None)


def read_audio(value: Any, settings: ComponentSettings, rate: Hz | None) -> tuple[Hz, Any] | None:
    """Return a recording as samples per second, and float32 samples of shape (S,).

    With ``channels: keep`` the samples of a recording with channels keep their shape (S, C).

    Args:
        value: What the component holds.
        settings: Its settings; of audio it is known by them, its name, or its form.
        rate: Samples per second that the model takes; ``None`` leaves them as they are.

    Returns:
        ``None`` when the value is no recording.

    Raises:
        DataError: If nothing was recorded, or more than ``max_seconds``.
    """
    is_audio = settings.kind == "audio" or is_audio_key(str(settings.name))
    if value is None and is_audio:
        raise DataError(NO_AUDIO)
    if not _is_recording(value):
        return None
    found, samples = int(value[0]), value[1]
    if not len(samples):
        raise DataError(NO_AUDIO)
    seconds = len(samples) / found
    if settings.max_seconds is not None and seconds > settings.max_seconds:
        raise DataError(
            f"The recording is {seconds:.0f} s long; at most {settings.max_seconds:g} s are taken."
        )
    if rate is None:
        logger.warning("the model does not declare a sample rate: audio stays at %d Hz", found)
    keeps = settings.channels == "keep"
    return rate or found, to_samples((found, samples), rate or found, keep_channels=keeps)


def load_upload(path: str) -> tuple[Hz, Any]:
    """Return what an audio component got, as samples per second and float32 samples.

    Raises:
        DataError: If it is no audio; its text is for the page, so it holds no folder.
        FileNotFoundError: If there is no such file.
    """
    from espnet3.components.data import audio

    try:
        samples, rate = audio.load(path)
    except audio.AudioError as error:
        reason = str(error).rpartition(f"{path}: ")[2].partition(": ")[0]
        raise DataError(f"{Path(path).name} {reason}. {_FORMATS}") from error
    return rate, samples


def write_audio(value: Any, rate: Hz | None) -> Any:
    """Return a waveform as an audio component takes it; what is none passes unchanged.

    Raises:
        DataError: If the sample rate is not known.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if not hasattr(value, "dtype"):
        return value
    if rate is None:
        raise DataError("the sample rate of the result is not known; set ui.outputs[].sample_rate")
    return int(rate), value.squeeze()


def _is_recording(value: Any) -> bool:
    is_pair = isinstance(value, tuple) and len(value) == 2
    return is_pair and isinstance(value[0], numbers.Integral) and hasattr(value[1], "dtype")


def _as_rate(value: Any) -> Hz | None:
    return int(value) if isinstance(value, numbers.Integral) and int(value) > 0 else None
