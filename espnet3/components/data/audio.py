"""Audio files: reading, resampling and headers.

Formats are those of libsndfile: WAV, FLAC, Ogg, MP3, PCM SPHERE (AN4) and more.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet3.errors import DataError
from espnet3.utils.types import Hz, PathLike

_CUT_SHORT = re.compile(r"^data : (?P<promised>\d+) \(should be (?P<found>\d+)\)", re.MULTILINE)
_UNKNOWN_LENGTH = 0x7FFF0000


class AudioError(DataError, RuntimeError):
    """An audio file cannot be used."""


class AudioInfo(NamedTuple):
    """What the header of an audio file says."""

    num_samples: int
    sample_rate: Hz
    num_channels: int


def load(
    path_or_bytes: PathLike | bytes,
    start: int | None = None,
    stop: int | None = None,
    target_sr: Hz | None = None,
    channel: int | None = None,
) -> tuple[np.ndarray, Hz]:
    """Read audio as float32 in [-1, 1].

    Args:
        path_or_bytes: File, or the content of one.
        start: First sample, at the rate of the file; only the range is decoded.
        stop: Sample after the last one.
        target_sr: Resample to this rate.
        channel: Channel to keep of several.

    Returns:
        Samples, shape ``(S,)``, or ``(S, channels)`` if there are several and ``channel`` is
        ``None``; and their sample rate.

    Raises:
        FileNotFoundError: If the file does not exist.
        AudioError: If it is not readable as audio, cut short, or lacks the channel.
    """
    import soundfile

    name = _name(path_or_bytes)
    try:
        with soundfile.SoundFile(_open(path_or_bytes)) as stream:
            _check_complete(stream.extra_info, name)
            first, last, _ = slice(start, stop).indices(stream.frames)
            stream.seek(first)
            samples = stream.read(max(last - first, 0), dtype="float32", always_2d=True)
            rate = stream.samplerate
    except AudioError:  # a ValueError too, but it has said everything
        raise
    except (soundfile.LibsndfileError, ValueError) as error:
        raise _unreadable(name, error) from error
    samples = _pick_channel(samples, channel, name)
    if target_sr is not None and target_sr != rate:
        import soxr

        samples, rate = soxr.resample(samples, rate, target_sr), target_sr
    return np.ascontiguousarray(samples, dtype=np.float32), int(rate)


def info(path_or_bytes: PathLike | bytes) -> AudioInfo:
    """Read the header of an audio file.

    Raises:
        FileNotFoundError: If the file does not exist.
        AudioError: If it is not readable as audio, or cut short.
    """
    import soundfile

    name = _name(path_or_bytes)
    try:
        header = soundfile.info(_open(path_or_bytes), verbose=True)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise _unreadable(name, error) from error
    _check_complete(header.extra_info, name)
    return AudioInfo(int(header.frames), int(header.samplerate), int(header.channels))


def write(path: PathLike, samples: np.ndarray, sample_rate: Hz) -> None:
    """Write 16-bit audio atomically; the suffix of ``path`` chooses the format.

    Args:
        path: Target, for example ``x.wav`` or ``x.flac``.
        samples: Float samples in [-1, 1] or int16, shape ``(S,)`` or ``(S, channels)``.
        sample_rate: Samples per second.
    """
    import soundfile

    from espnet3.utils.path_utils import atomic_path

    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples, sample_rate, subtype="PCM_16")


def _unreadable(name: str, error: Exception) -> AudioError:
    # What libsndfile says begins with the path as well; the attribute does not.
    return AudioError(f"{name}: cannot be read as audio: {getattr(error, 'error_string', error)}")


def _check_complete(header_log: str, name: str) -> None:
    """Refuse a WAV file with less audio than it promises, which libsndfile reads as shorter."""
    match = _CUT_SHORT.search(header_log)
    # Programs that write to a pipe promise some huge number, because they cannot know better.
    if match is not None and int(match["promised"]) < _UNKNOWN_LENGTH:
        raise AudioError(
            f"{name}: is cut short, it has {match['found']} of {match['promised']} bytes of audio"
        )


def _open(path_or_bytes: PathLike | bytes) -> Any:
    if isinstance(path_or_bytes, bytes):
        return io.BytesIO(path_or_bytes)
    if re.match(r"https?://", str(path_or_bytes)):
        raise AudioError(f"{path_or_bytes}: is an address, not a file: download it first")
    path = Path(path_or_bytes)
    if path.is_dir():
        raise AudioError(f"{path}: is a folder; name a file in it")
    if not path.is_file():
        raise FileNotFoundError(f"audio file {path} does not exist")
    return path


def _pick_channel(samples: np.ndarray, channel: int | None, name: str) -> np.ndarray:
    count = samples.shape[1]
    if count == 1 and channel in (None, 0):
        return samples[:, 0]
    if channel is None:
        return samples
    if not 0 <= channel < count:
        raise AudioError(f"{name}: has no channel {channel}, it has {count}")
    return samples[:, channel]


def _name(path_or_bytes: PathLike | bytes) -> str:
    if isinstance(path_or_bytes, bytes):
        return f"{len(path_or_bytes)} bytes of audio"
    return str(path_or_bytes)
