"""Get the archive, join its recordings to strings, write WAV files and manifests."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from espnet3.components.data.corpus_record import CorpusRecord
from espnet3.components.data.dataset_builder import DatasetBuilder
from espnet3.components.data.manifest import ManifestRow, write_manifest
from espnet3.errors import ConfigError, DataError, MissingConfigError
from espnet3.utils.download_utils import download_url
from espnet3.utils.path_utils import atomic_directory

from .joining import join_string
from .plan import SPLITS, CorpusSettings, DigitString, load_corpus_settings, plan_split
from .recordings import Take, digest_recordings, read_recordings

logger = logging.getLogger(__name__)

PART_SIZE = 250
"""Strings in one folder, which is what a killed run has to repeat."""


class FsddBuilder(DatasetBuilder):
    """Connected strings of real digits.

    The arguments of its methods are the keys of ``create_dataset`` in ``conf/training.yaml``:

    - ``data_dir``: Folder for ``wav/`` and ``manifest/``.
    - ``download_dir``: Where the archive goes when it is downloaded.
    - ``archive_path``: A local archive; nothing is downloaded when it is set.
    - ``verify``: Compare the recordings with the checksum in ``config.yaml``.
    - ``sizes``: Number of strings of ``train``, ``valid`` and ``test``.
    - ``seed``: Another seed gives other strings.
    - ``heldout_speaker``: The only speaker of ``test``, absent from the other splits.
    - ``speed``: Range of the speed of training strings.
    """

    def is_source_prepared(
        self, *, download_dir: str, archive_path: str | None = None, **_kwargs: Any
    ) -> bool:
        """Tell whether the archive is there."""
        return _locate_archive(download_dir, archive_path).is_file()

    def prepare_source(
        self, *, download_dir: str, archive_path: str | None = None, **_kwargs: Any
    ) -> None:
        """Download the archive.

        Raises:
            MissingConfigError: If ``archive_path`` names a file that does not exist.
        """
        if archive_path is not None:
            raise MissingConfigError(
                "no such file",
                key="create_dataset.archive_path",
                value=archive_path,
                hint="give the path of the archive, or null to download it",
            )
        url = load_corpus_settings().url
        download_url(url, _locate_archive(download_dir, None), logger=logger)

    def is_built(
        self,
        *,
        data_dir: str,
        sizes: Mapping[str, int],
        seed: int,
        heldout_speaker: str | None = None,
        speed: Sequence[float] = (1.0, 1.0),
        **_kwargs: Any,
    ) -> bool:
        """Tell whether the manifests exist and were made with these arguments."""
        return _make_record(data_dir, sizes, seed, heldout_speaker, speed).is_complete()

    def build(
        self,
        *,
        data_dir: str,
        download_dir: str,
        sizes: Mapping[str, int],
        seed: int,
        archive_path: str | None = None,
        verify: bool = True,
        heldout_speaker: str | None = None,
        speed: Sequence[float] = (1.0, 1.0),
    ) -> None:
        """Write the WAV files and the manifests; folders that exist are kept.

        Raises:
            DataError: If the archive is damaged or its recordings are not the expected ones.
        """
        settings = load_corpus_settings()
        archive = _locate_archive(download_dir, archive_path)
        recordings = read_recordings(archive, settings.sample_rate)
        _check_recordings(recordings, settings, archive, verify)
        strings = {
            split: plan_split(
                settings,
                split,
                size=sizes[split],
                seed=seed,
                heldout_speaker=heldout_speaker,
                speed=(speed[0], speed[1]) if split == "train" else (1.0, 1.0),
            )
            for split in SPLITS
        }
        _make_record(data_dir, sizes, seed, heldout_speaker, speed).start(parts=["wav"])
        root = Path(data_dir)
        with tqdm(total=sum(sizes.values()), desc="join", unit="utt", mininterval=1.0) as progress:
            for split in SPLITS:
                rows = _write_split(root, split, strings[split], recordings, settings, progress)
                write_manifest(root / _manifest_path(split), rows)


def _locate_archive(download_dir: str, archive_path: str | None) -> Path:
    return Path(archive_path) if archive_path else Path(download_dir, "fsdd.tar.gz")


def _manifest_path(split: str) -> Path:
    return Path("manifest", f"{split}.tsv")


def _make_record(
    data_dir: str,
    sizes: Mapping[str, int],
    seed: int,
    heldout_speaker: str | None,
    speed: Sequence[float],
) -> CorpusRecord:
    if set(sizes) != set(SPLITS) or min(sizes.values()) < 1:
        message = f"must have the keys {', '.join(SPLITS)}, each at least 1"
        raise ConfigError(message, key="create_dataset.sizes", value=dict(sizes))
    contents = {
        "builder": "fsdd 1",
        "settings": dataclasses.asdict(load_corpus_settings()),
        "sizes": dict(sizes),
        "seed": seed,
        "heldout_speaker": heldout_speaker,
        "speed": list(speed),
    }
    return CorpusRecord(data_dir, contents, outputs=[_manifest_path(split) for split in SPLITS])


def _check_recordings(
    recordings: Mapping[Take, np.ndarray], settings: CorpusSettings, archive: Path, verify: bool
) -> None:
    missing = [take for take in settings.takes() if take not in recordings]
    if missing:
        first = missing[0]
        raise DataError(
            f"{archive}: {len(missing)} of {len(settings.takes())} recordings are missing, "
            f"the first is {first.digit}_{first.speaker}_{first.index}.wav"
        )
    if verify and digest_recordings(recordings) != settings.recordings_sha256:
        raise DataError(
            f"{archive}: the recordings are not those of recordings_sha256 in dataset/config.yaml\n"
            "  get version 1.0.10 of the corpus, or accept others with create_dataset.verify: false"
        )


def _write_split(
    root: Path,
    split: str,
    strings: Sequence[DigitString],
    recordings: Mapping[Take, np.ndarray],
    settings: CorpusSettings,
    progress: tqdm[Any],
) -> list[ManifestRow]:
    rows = []
    for number, start in enumerate(range(0, len(strings), PART_SIZE)):
        part, folder = strings[start : start + PART_SIZE], Path("wav", split, f"{number:03d}")
        if not (root / folder).is_dir():
            with atomic_directory(root / folder) as building:
                for string in part:
                    speech = join_string(string, recordings, settings)
                    soundfile.write(building / f"{string.utt_id}.wav", speech, settings.sample_rate)
        progress.update(len(part))
        for string in part:
            path = root / folder / f"{string.utt_id}.wav"
            rows.append(ManifestRow(string.utt_id, path, string.text))
    return rows
