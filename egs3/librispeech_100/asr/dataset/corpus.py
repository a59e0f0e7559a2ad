"""Find the corpus on this machine and list its utterances."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from espnet3.components.data.manifest import ManifestRow
from espnet3.errors import DataError, MissingFileError
from espnet3.utils.config_utils import load_config_with_defaults
from espnet3.utils.settings import parse_settings

RECIPE_DIR = Path(__file__).resolve().parents[1]
_FOLDER = "LibriSpeech"
_VARIABLE = "LIBRISPEECH"


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """The content of ``config.yaml``."""

    splits: tuple[str, ...]
    sample_rate: int


@functools.cache
def load_corpus_settings() -> CorpusSettings:
    """Read ``config.yaml``."""
    path = Path(__file__).with_name("config.yaml")
    return parse_settings(load_config_with_defaults(path), CorpusSettings, key="", file=path)


def find_corpus(recipe_dir: Path, source_dir: Path | None) -> Path:
    """Return the folder that holds the splits.

    It is looked up in ``<recipe_dir>/download``, in ``source_dir``, and in the folder that the
    environment variable ``LIBRISPEECH`` names; each may be ``LibriSpeech`` or the folder above it.

    Raises:
        MissingFileError: If it is nowhere, or lacks splits.
    """
    variable = os.environ.get(_VARIABLE)
    places = [recipe_dir / "download", source_dir, Path(variable) if variable else None]
    checked = [place for place in places if place is not None]
    for place in checked:
        root = place if place.name == _FOLDER else place / _FOLDER
        if root.is_dir():
            _check_splits(root)
            return root
    raise MissingFileError(
        f"there is no folder {_FOLDER} in {', '.join(map(str, checked))}",
        key="create_dataset.source_dir",
        hint="get the corpus from https://www.openslr.org/12, and name its folder here or in the"
        f" environment variable {_VARIABLE}",
    )


def list_utterances(root: Path, split: str) -> list[ManifestRow]:
    """Read the transcripts of a split, sorted by id; rows without audio are left out.

    Raises:
        DataError: If there is none.
    """
    rows = []
    for path in (root / split).rglob("*.trans.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            utt_id, _, text = line.strip().partition(" ")
            audio = path.with_name(f"{utt_id}.flac")
            if text and audio.is_file():
                rows.append(ManifestRow(utt_id, audio, text))
    if not rows:
        raise DataError(f"{root / split}: has no utterance with transcript and audio")
    return sorted(rows)


def _check_splits(root: Path) -> None:
    missing = [name for name in load_corpus_settings().splits if not (root / name).is_dir()]
    if missing:
        raise MissingFileError(
            f"{root} has no {', '.join(missing)}",
            key="create_dataset.source_dir",
            hint="unpack these parts of the corpus there",
        )
