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
        places = {split: _locate(path) for split, path in settings.lists.items()}
        problems = [*_repeated(splits, places)]
        for split, rows in splits.items():
            for row, place in zip(rows, places[split], strict=True):
                problems += (f"{place}: {row.utt_id}: {problem}" for problem in _check(row))
        if problems:
            shown = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
            raise DataError(f"{len(problems)} problems in the lists, the first are:{shown}")
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


def _locate(path: Path) -> list[str]:
    """Return the place of each utterance of a list, as ``file:line``."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [f"{path}:{number}" for number, line in enumerate(lines, start=1) if line.strip()]


def _repeated(
    splits: Mapping[str, list[ManifestRow]], places: Mapping[str, list[str]]
) -> Iterator[str]:
    home: dict[str, tuple[str, str]] = {}
    for split, rows in splits.items():
        for row, place in zip(rows, places[split], strict=True):
            first_split, first_place = home.setdefault(row.utt_id, (split, place))
            if first_split != split:
                yield f"{place}: {row.utt_id}: is also in {first_split} ({first_place})"


def _check(row: ManifestRow) -> Iterator[str]:
    if not row.text.strip():
        yield "has no transcript"
    try:
        header = audio.info(row.wav_path)
    except FileNotFoundError:
        yield f"there is no audio file {row.wav_path} (a list has no header line)"
        return
    except audio.AudioError as error:
        yield str(error)
        return
    if header.num_channels != 1:
        yield f"{row.wav_path} has {header.num_channels} channels, expected one"
    elif header.num_samples == 0:
        yield f"{row.wav_path} is empty"
