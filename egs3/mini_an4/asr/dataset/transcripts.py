"""Read the transcripts of the AN4 database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from espnet3.errors import DataError

_LINE = re.compile(
    r"(?:<s>\s+)?(?P<text>\S.*?)\s+(?:</s>\s+)?\((?P<utt>[^\s()-]+)-(?P<speaker>[^\s()-]+)-(?P<code>[^\s()-]+)\)"
)


class Transcript(NamedTuple):
    """One line of a ``.transcription`` file."""

    utt_id: str
    """Speaker first, for example ``fash-an251-b``."""
    audio: Path
    """Audio file, relative to the folder of its part."""
    text: str


def read_transcripts(path: Path) -> list[Transcript]:
    """Read lines such as ``<s> GO </s> (an253-fash-b)``, sorted by id.

    Raises:
        DataError: If a line has another form.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (_parse(line, path, number) for number, line in enumerate(lines, 1) if line.strip())
    return sorted(rows)


def _parse(line: str, path: Path, number: int) -> Transcript:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise DataError(
            f"{path}:{number}: expected <s> WORDS </s> (utterance-speaker-code), got {line!r}"
        )
    text, utt, speaker, code = match.group("text", "utt", "speaker", "code")
    audio = Path(speaker, f"{utt}-{speaker}-{code}.sph")
    return Transcript(f"{speaker}-{utt}-{code}", audio, text)
