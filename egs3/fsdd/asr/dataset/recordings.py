"""Read the recordings of the corpus straight from its archive."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import wave
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from espnet3.errors import DataError

_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<index>\d+)\.wav")


@dataclass(frozen=True, order=True)
class Take:
    """Names one recording: who said which digit for the how manieth time."""

    digit: int
    speaker: str
    index: int


def read_recordings(archive: Path, sample_rate: int) -> dict[Take, np.ndarray]:
    """Read all recordings of a ``.tar.gz``.

    Args:
        archive: File with members ``…/recordings/{digit}_{speaker}_{index}.wav``.
        sample_rate: What the recordings must have, in Hz.

    Returns:
        Samples by recording, sorted; int16, shape ``(samples,)``.

    Raises:
        DataError: If the archive or a recording is damaged; the message names it.
    """
    recordings = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name, content in _iter_wav_files(tar):
                match = _NAME.fullmatch(name)
                if match is not None:
                    take = Take(int(match["digit"]), match["speaker"], int(match["index"]))
                    recordings[take] = _decode(content, sample_rate, f"{archive}: {name}")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{archive}: not a readable .tar.gz archive ({error})\n"
            "  remove it and run create_dataset again, or set create_dataset.archive_path"
        ) from error
    return dict(sorted(recordings.items()))


def digest_recordings(recordings: Mapping[Take, np.ndarray]) -> str:
    """Return the SHA-256 of names and samples, the same for every way of packing them."""
    digest = hashlib.sha256()
    for take, samples in sorted(recordings.items()):
        digest.update(f"{take.digit}_{take.speaker}_{take.index} {len(samples)}\n".encode())
        digest.update(samples.astype("<i2").tobytes())
    return digest.hexdigest()


def _iter_wav_files(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Give name and content of the members; nothing is extracted, so no path can lead outside."""
    for member in tar:
        path = PurePosixPath(member.name)
        if path.parent.name == "recordings" and path.suffix == ".wav":
            stream = tar.extractfile(member)
            if stream is not None:
                yield path.name, stream.read()


def _decode(content: bytes, sample_rate: int, where: str) -> np.ndarray:
    try:
        with wave.open(io.BytesIO(content)) as stream:
            form = (stream.getnchannels(), 8 * stream.getsampwidth(), stream.getframerate())
            frames = stream.readframes(stream.getnframes())
            expected = 2 * stream.getnframes()
    except (wave.Error, EOFError) as error:
        raise DataError(f"{where}: not a readable WAV file ({error})") from error
    if form != (1, 16, sample_rate):
        raise DataError(f"{where}: channels, bits and Hz are {form}, not {(1, 16, sample_rate)}")
    if len(frames) != expected or not frames:
        raise DataError(f"{where}: is empty or cut short, {len(frames)} of {expected} bytes")
    return np.frombuffer(frames, dtype="<i2")
