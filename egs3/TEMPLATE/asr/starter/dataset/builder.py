"""Check the lists of the corpus and its audio files, and write one manifest per split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.components.data import audio
from espnet3.components.data.corpus_record import CorpusRecord
from espnet3.components.data.dataset_builder import DatasetBuilder
from espnet3.components.data.manifest import ManifestRow, read_manifest, write_manifest
from espnet3.errors import DataError, MissingConfigError
from espnet3.utils.fingerprint import fingerprint_file
from espnet3.utils.settings import parse_settings

_SHOWN = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """The block ``create_dataset`` of ``conf/training.yaml``."""

    data_dir: Path
    """Folder for ``manifest/``."""
    lists: dict[str, Path]
    """Split → TSV file with lines ``utt_id<TAB>audio file<TAB>transcript``."""


class CorpusBuilder(DatasetBuilder):
    """Manifests of a corpus whose audio files stay where they are.

    The arguments of its methods are the fields of :class:`BuildSettings`.
    """

    def is_source_prepared(self, **kwargs: Any) -> bool:
        """Tell whether all lists are there."""
        return all(path.is_file() for path in _parse(kwargs).lists.values())

    def prepare_source(self, **kwargs: Any) -> None:
        """Say which list is missing.

        Raises:
            MissingConfigError: If one is.
        """
        for split, path in _parse(kwargs).lists.items():
            if not path.is_file():
                raise MissingConfigError(
                    "no such file",
                    key=f"create_dataset.lists.{split}",
                    value=str(path),
                    hint="write it (utt_id<TAB>audio file<TAB>transcript), or name another",
                )

    def is_built(self, **kwargs: Any) -> bool:
        """Tell whether the manifests exist and were made from these lists."""
        return _make_record(_parse(kwargs)).is_complete()

    def build(self, **kwargs: Any) -> None:
        """Check every utterance, then write the manifests.

        Raises:
            DataError: If a list is malformed, an utterance has no usable audio or no transcript,
                or stands in two lists.
        """
        settings = _parse(kwargs)
        splits = {split: read_manifest(path) for split, path in settings.lists.items()}
        problems = [*_repeated(splits)]
        for rows in splits.values():
            problems += (problem for row in rows for problem in _check(row))
        if problems:
            shown = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
            raise DataError(f"{len(problems)} utterances cannot be used, the first are:{shown}")
        _make_record(settings).start()
        for split, rows in splits.items():
            clean = [row._replace(text=" ".join(row.text.split())) for row in rows]
            write_manifest(settings.data_dir / _manifest_path(split), clean)


def _parse(kwargs: Mapping[str, Any]) -> BuildSettings:
    return parse_settings(kwargs, BuildSettings, key="create_dataset")


def _manifest_path(split: str) -> Path:
    return Path("manifest", f"{split}.tsv")


def _make_record(settings: BuildSettings) -> CorpusRecord:
    digests = {split: fingerprint_file(path) for split, path in settings.lists.items()}
    outputs = [_manifest_path(split) for split in settings.lists]
    return CorpusRecord(settings.data_dir, {"builder": "lists 1", "lists": digests}, outputs)


def _repeated(splits: Mapping[str, list[ManifestRow]]) -> Iterator[str]:
    home: dict[str, str] = {}
    for split, rows in splits.items():
        for row in rows:
            if home.setdefault(row.utt_id, split) != split:
                yield f"{row.utt_id}: is in {home[row.utt_id]} and in {split}"


def _check(row: ManifestRow) -> Iterator[str]:
    if not row.text.strip():
        yield f"{row.utt_id}: has no transcript"
    try:
        header = audio.info(row.wav_path)
    except (FileNotFoundError, audio.AudioError) as error:
        yield f"{row.utt_id}: {error}"
        return
    if header.num_channels != 1:
        yield f"{row.utt_id}: {row.wav_path} has {header.num_channels} channels, expected one"
    elif header.num_samples == 0:
        yield f"{row.utt_id}: {row.wav_path} is empty"
