"""Get the archive, join its recordings to strings, write WAV files and manifests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet3.components.data import audio
from espnet3.components.data.corpus_archive import provide_archive
from espnet3.components.data.corpus_record import CorpusRecord
from espnet3.components.data.dataset_builder import DatasetBuilder
from espnet3.components.data.manifest import ManifestRow, write_manifest
from espnet3.errors import DataError
from espnet3.utils.path_utils import atomic_directory
from espnet3.utils.progress import progress_bar
from espnet3.utils.settings import parse_settings

from .joining import join_string
from .plan import SPLITS, CorpusSettings, DigitString, load_corpus_settings, plan_split
from .recordings import Take, digest_recordings, read_recordings

PART_SIZE = 250
"""Strings in one folder, which is what a killed run has to repeat."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """The block ``create_dataset`` of ``conf/training.yaml``."""

    data_dir: Path
    """Folder for ``wav/`` and ``manifest/``."""
    download_dir: Path
    """Where the archive goes when it is downloaded."""
    archive_path: Path | None = None
    """A local archive; nothing is downloaded when it is set."""
    verify: bool = True
    """Compare the recordings with the checksum in ``config.yaml``."""
    sizes: dict[str, int]
    """Number of strings of ``train``, ``valid`` and ``test``."""
    seed: int
    """Another seed gives other strings."""
    heldout_speaker: str | None = None
    """The only speaker of ``test``, absent from the other splits."""
    speed: tuple[float, float] = (1.0, 1.0)
    """Range from which each training string draws its speed."""

    def __post_init__(self) -> None:
        if set(self.sizes) != set(SPLITS) or min(self.sizes.values()) < 1:
            keys = ", ".join(SPLITS)
            raise ValueError(f"sizes = {self.sizes}: must have the keys {keys}, each at least 1")
        if not 0.5 <= self.speed[0] <= self.speed[1] <= 2.0:
            raise ValueError(f"speed = {list(self.speed)}: must be a range within [0.5, 2.0]")

    @property
    def archive(self) -> Path:
        """The archive to read."""
        return self.archive_path or self.download_dir / "fsdd.tar.gz"


class FsddBuilder(DatasetBuilder):
    """Connected strings of real digits.

    The arguments of its methods are the fields of :class:`BuildSettings`.
    """

    SETTINGS = BuildSettings

    def is_source_prepared(self, **kwargs: Any) -> bool:
        """Tell whether the archive is there, or not needed because the data are."""
        return self.is_built(**kwargs) or _parse(kwargs).archive.is_file()

    def prepare_source(self, **kwargs: Any) -> None:
        """Download the archive.

        Raises:
            MissingFileError: If ``archive_path`` names a file that does not exist.
            DownloadError: If the server cannot be reached.
        """
        settings = _parse(kwargs)
        provide_archive(settings.archive_path, settings.archive, load_corpus_settings().url)

    def is_built(self, **kwargs: Any) -> bool:
        """Tell whether the manifests exist and were made with these arguments."""
        return _make_record(_parse(kwargs), load_corpus_settings()).is_complete()

    def build(self, **kwargs: Any) -> None:
        """Write the WAV files and the manifests; folders that exist are kept.

        Raises:
            ConfigError: If an argument is unknown or has a wrong value.
            DataError: If the archive is damaged or its recordings are not the expected ones.
        """
        settings, corpus = _parse(kwargs), load_corpus_settings()
        recordings = read_recordings(settings.archive, corpus.sample_rate)
        _check_recordings(recordings, corpus, settings)
        plans = {split: _plan(settings, corpus, split) for split in SPLITS}
        _make_record(settings, corpus).start(parts=["wav"])
        total = sum(settings.sizes.values())
        with progress_bar(total, "join") as progress:
            writer = _StringWriter(settings.data_dir, corpus, recordings, progress.update)
            rows = {split: writer.write(split, plans[split]) for split in SPLITS}
        for split in SPLITS:
            write_manifest(settings.data_dir / _manifest_path(split), rows[split])


def _parse(kwargs: Mapping[str, Any]) -> BuildSettings:
    return parse_settings(kwargs, BuildSettings, key="create_dataset")


def _manifest_path(split: str) -> Path:
    return Path("manifest", f"{split}.tsv")


def _plan(settings: BuildSettings, corpus: CorpusSettings, split: str) -> list[DigitString]:
    return plan_split(
        corpus,
        split,
        size=settings.sizes[split],
        seed=settings.seed,
        heldout_speaker=settings.heldout_speaker,
        speed=settings.speed if split == "train" else (1.0, 1.0),
    )


def _make_record(settings: BuildSettings, corpus: CorpusSettings) -> CorpusRecord:
    contents = {
        "builder": "fsdd 1",
        "corpus": dataclasses.asdict(corpus),
        "sizes": settings.sizes,
        "seed": settings.seed,
        "heldout_speaker": settings.heldout_speaker,
        "speed": settings.speed,
    }
    outputs = [_manifest_path(split) for split in SPLITS]
    return CorpusRecord(settings.data_dir, contents, outputs)


def _check_recordings(
    recordings: Mapping[Take, np.ndarray], corpus: CorpusSettings, settings: BuildSettings
) -> None:
    missing = [take for take in corpus.takes() if take not in recordings]
    if missing:
        first = missing[0]
        raise DataError(
            f"{settings.archive}: {len(missing)} of {len(corpus.takes())} recordings are missing, "
            f"the first is {first.digit}_{first.speaker}_{first.index}.wav"
        )
    if settings.verify and digest_recordings(recordings) != corpus.recordings_sha256:
        raise DataError(
            f"{settings.archive}: the recordings do not fit recordings_sha256 in"
            " dataset/config.yaml\n"
            "  get version 1.0.10 of the corpus, or accept others with create_dataset.verify: false"
        )


@dataclasses.dataclass(frozen=True)
class _StringWriter:
    """Writes the WAV files of a split, in folders that appear when they are complete."""

    root: Path
    corpus: CorpusSettings
    recordings: Mapping[Take, np.ndarray]
    advance: Callable[[int], Any]

    def write(self, split: str, strings: Sequence[DigitString]) -> list[ManifestRow]:
        """Write what does not exist yet; return the manifest."""
        rows = []
        for number, start in enumerate(range(0, len(strings), PART_SIZE)):
            part, folder = strings[start : start + PART_SIZE], Path("wav", split, f"{number:03d}")
            if not (self.root / folder).is_dir():
                self._write_part(self.root / folder, part)
            self.advance(len(part))
            for string in part:
                path = self.root / folder / f"{string.utt_id}.wav"
                rows.append(ManifestRow(string.utt_id, path, string.text))
        return rows

    def _write_part(self, folder: Path, strings: Sequence[DigitString]) -> None:
        with atomic_directory(folder) as building:
            for string in strings:
                speech = join_string(string, self.recordings, self.corpus)
                audio.write(building / f"{string.utt_id}.wav", speech, self.corpus.sample_rate)
