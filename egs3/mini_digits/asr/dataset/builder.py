"""Synthesise the corpus: WAV files in parts, then the manifests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.components.data.corpus_record import CorpusRecord
from espnet3.components.data.dataset_builder import DatasetBuilder
from espnet3.components.data.manifest import ManifestRow, write_manifest
from espnet3.errors import DataError
from espnet3.utils.settings import parse_settings

from . import workers
from .plan import SPLITS, CorpusSettings, load_corpus_settings, plan_split
from .workers import Part, speak_parts, split_parts


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """The block ``create_dataset`` of ``conf/training.yaml``."""

    data_dir: Path
    """Folder for ``wav/`` and ``manifest/``."""
    sizes: dict[str, int]
    """Number of utterances of ``train``, ``valid`` and ``test``."""
    seed: int
    """Another seed gives other utterances of the same voices."""
    part_size: int = 250
    """Utterances per process, which is what a killed run has to repeat. The audio depends on it,
    because eSpeak NG carries state from one utterance to the next."""
    num_processes: int = 2
    """Parts that are made at a time. The audio does not depend on it."""

    def __post_init__(self) -> None:
        if set(self.sizes) != set(SPLITS):
            raise ValueError(f"sizes = {self.sizes}: must have the keys {', '.join(SPLITS)}")
        if min(*self.sizes.values(), self.part_size, self.num_processes) < 1:
            raise ValueError("sizes, part_size and num_processes must be at least 1")


class MiniDigitsBuilder(DatasetBuilder):
    """Strings of English digits in many voices of eSpeak NG.

    The arguments of its methods are the fields of :class:`BuildSettings`.
    """

    SETTINGS = BuildSettings

    def is_source_prepared(self, **kwargs: Any) -> bool:
        """Tell whether the synthesiser is installed, or not needed because the data are there."""
        return self.is_built(**kwargs) or workers.is_installed()

    def prepare_source(self, **_kwargs: Any) -> None:
        """Say how to install the synthesiser.

        Raises:
            MissingDependencyError: If it is not installed.
        """
        workers.locate_synthesizer()

    def is_built(self, **kwargs: Any) -> bool:
        """Tell whether the manifests exist and were made with these arguments."""
        return _make_record(_parse(kwargs), load_corpus_settings()).is_complete()

    def build(self, **kwargs: Any) -> None:
        """Write the WAV files and the manifests; parts that exist are kept.

        Raises:
            ConfigError: If an argument is unknown or has a wrong value.
            DataError: If the synthesiser fails or lacks a voice.
        """
        settings, corpus = _parse(kwargs), load_corpus_settings()
        _check_voices(corpus)
        _make_record(settings, corpus).start(parts=["wav"])
        parts = {split: list(_plan_parts(settings, corpus, split)) for split in SPLITS}
        everything = [part for split in SPLITS for part in parts[split]]
        root = settings.data_dir
        speak_parts(root, everything, corpus.sample_rate, settings.num_processes)
        for split in SPLITS:
            rows = [row for part in parts[split] for row in _manifest_rows(root, part)]
            write_manifest(root / _manifest_path(split), rows)


def _parse(kwargs: Mapping[str, Any]) -> BuildSettings:
    return parse_settings(kwargs, BuildSettings, key="create_dataset")


def _plan_parts(settings: BuildSettings, corpus: CorpusSettings, split: str) -> Iterator[Part]:
    utterances = plan_split(corpus, split, settings.sizes[split], settings.seed)
    return split_parts(split, utterances, settings.part_size)


def _manifest_path(split: str) -> Path:
    return Path("manifest", f"{split}.tsv")


def _manifest_rows(root: Path, part: Part) -> list[ManifestRow]:
    return [
        ManifestRow(u.utt_id, root / part.folder / f"{u.utt_id}.wav", u.text)
        for u in part.utterances
    ]


def _make_record(settings: BuildSettings, corpus: CorpusSettings) -> CorpusRecord:
    contents = {
        "builder": "mini_digits 1",
        "corpus": dataclasses.asdict(corpus),
        "sizes": settings.sizes,
        "seed": settings.seed,
        "part_size": settings.part_size,
    }
    outputs = [_manifest_path(split) for split in SPLITS]
    return CorpusRecord(settings.data_dir, contents, outputs)


def _check_voices(corpus: CorpusSettings) -> None:
    """Look for every voice, because eSpeak NG silently takes another one for an unknown name."""
    data = Path(workers.locate_synthesizer()["data"])
    files = [f"lang/{accent}" for accent in corpus.accents]
    files += [f"voices/!v/{voice}" for voices in corpus.voices.values() for voice in voices]
    missing = [name for name in files if not (data / name).is_file()]
    if missing:
        raise DataError(
            f"{data}: this eSpeak NG has no {', '.join(missing[:5])}\n"
            "  install espeakng-loader as in constraints.txt, or change dataset/config.yaml"
        )
