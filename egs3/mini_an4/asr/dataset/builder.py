"""Get the archive, convert its SPHERE audio to WAV files and write manifests."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet3.components.data import audio
from espnet3.components.data.corpus_archive import provide_archive
from espnet3.components.data.dataset_builder import DatasetBuilder
from espnet3.components.data.manifest import ManifestError, ManifestRow, write_manifest
from espnet3.errors import DataError, StageError
from espnet3.utils.archive_utils import safe_extract
from espnet3.utils.path_utils import atomic_directory
from espnet3.utils.settings import parse_settings

from .layout import RECIPE_DIR, load_layout
from .transcripts import Transcript, read_transcripts

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """The block ``create_dataset`` of ``conf/training.yaml``."""

    recipe_dir: Path = RECIPE_DIR
    """Root of the recipe; the archive is unpacked to its folder ``downloads``."""
    data_dir: Path | None = None
    """Folder for ``wav/`` and ``manifest/``; null is ``data`` in the recipe."""
    archive_path: Path | None = None
    """A local archive; null is ``downloads.tar.gz`` in the recipe."""
    url: str | None = None
    """Where to download that file from if it does not exist; null downloads nothing."""
    sha256: str | None = None
    """Checksum of the downloaded file."""


class MiniAn4Builder(DatasetBuilder):
    """Utterances of the AN4 database as WAV files.

    The arguments of its methods are the fields of :class:`BuildSettings`.
    """

    SETTINGS = BuildSettings

    def is_source_prepared(self, **kwargs: Any) -> bool:
        """Tell whether the archive has been unpacked."""
        return _is_corpus(_source_dir(_read(kwargs)))

    def prepare_source(self, **kwargs: Any) -> None:
        """Unpack the archive, downloading it first if need be.

        Raises:
            MissingFileError: If there is no archive and no address to get it from.
            DownloadError: If the server cannot be reached.
            DataError: If the archive holds something else.
        """
        settings = _read(kwargs)
        archive = provide_archive(
            settings.archive_path,
            settings.recipe_dir / load_layout().builder.archive_path,
            settings.url,
            sha256=settings.sha256,
        )
        with atomic_directory(_source_dir(settings).parent) as building:
            safe_extract(archive, building)
            nested = building / load_layout().builder.dataset_path.name
            if nested.is_dir():
                for entry in list(nested.iterdir()):
                    entry.rename(building / entry.name)
                nested.rmdir()
            if not _is_corpus(building / "an4"):
                raise DataError(f"{archive}: has no folders an4/etc and an4/wav")

    def is_built(self, **kwargs: Any) -> bool:
        """Tell whether all manifests exist."""
        folder = _data_dir(_read(kwargs))
        manifests = load_layout().dataset.split_manifest_paths.values()
        return all((folder / path).is_file() for path in manifests)

    def build(self, **kwargs: Any) -> None:
        """Write the WAV files, then the manifests.

        Raises:
            StageError: If the archive has not been unpacked.
            DataError: If a transcript is malformed, audio cannot be read, or there are too few
                utterances.
        """
        settings, layout = _read(kwargs), load_layout()
        source, data_dir = _source_dir(settings), _data_dir(settings)
        if not _is_corpus(source):
            raise StageError(f"the corpus is not in {source}; run create_dataset")
        parts = layout.builder.splits
        splits = {
            name: read_transcripts(source / "etc" / part.transcript_name)
            for name, part in parts.items()
        }
        dev_size = layout.builder.dev_size
        if len(splits["train"]) <= dev_size:
            raise ManifestError(
                f"{source}: has {len(splits['train'])} training utterances, needs {dev_size + 1}"
            )
        splits["valid"] = splits["train"][:dev_size]
        splits["train"] = splits["train"][dev_size:]
        folders = {split: part.sph_subdir for split, part in parts.items()}
        folders["valid"] = folders["train"]
        rows = {
            split: _convert(utterances, source / "wav" / folders[split], data_dir / "wav" / split)
            for split, utterances in splits.items()
        }
        for split, path in layout.dataset.split_manifest_paths.items():
            write_manifest(data_dir / path, rows[split])
            logger.info("%s: %d utterances", split, len(rows[split]))


def _read(kwargs: Mapping[str, Any]) -> BuildSettings:
    """Take the arguments of this builder; a variant of the recipe may have others besides."""
    names = [field.name for field in dataclasses.fields(BuildSettings)]
    own = {name: kwargs[name] for name in names if name in kwargs}
    return parse_settings(own, BuildSettings, key="create_dataset")


def _source_dir(settings: BuildSettings) -> Path:
    return settings.recipe_dir / load_layout().builder.dataset_path / "an4"


def _data_dir(settings: BuildSettings) -> Path:
    return settings.data_dir or settings.recipe_dir / load_layout().builder.data_path


def _is_corpus(folder: Path) -> bool:
    return (folder / "etc").is_dir() and (folder / "wav").is_dir()


def _convert(utterances: Sequence[Transcript], source: Path, target: Path) -> list[ManifestRow]:
    rows = []
    for utterance in utterances:
        speech, rate = audio.load(source / utterance.audio)
        path = target / f"{utterance.utt_id}.wav"
        audio.write(path, speech, rate)
        rows.append(ManifestRow(utterance.utt_id, path, utterance.text))
    return rows
