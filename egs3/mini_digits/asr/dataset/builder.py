"""Synthesise the corpus: WAV files in parts, then the manifests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet3.components.data.corpus_record import CorpusRecord
from espnet3.components.data.dataset_builder import DatasetBuilder
from espnet3.components.data.manifest import ManifestRow, write_manifest
from espnet3.errors import ConfigError, DataError

from . import workers
from .plan import SPLITS, CorpusSettings, load_corpus_settings, plan_split
from .workers import Part, speak_parts, split_parts


class MiniDigitsBuilder(DatasetBuilder):
    """Strings of English digits in many voices of eSpeak NG.

    The arguments of its methods are the keys of ``create_dataset`` in ``conf/training.yaml``:

    - ``data_dir``: Folder for ``wav/`` and ``manifest/``.
    - ``sizes``: Number of utterances of ``train``, ``valid`` and ``test``.
    - ``seed``: Another seed gives other utterances of the same voices.
    - ``part_size``: Utterances per process, which is what a killed run has to repeat. The audio
      depends on it, because eSpeak NG carries state from one utterance to the next.
    - ``num_processes``: Parts that are made at a time. The audio does not depend on it.
    """

    def is_source_prepared(self, **kwargs: Any) -> bool:
        """Tell whether the synthesiser is installed, or not needed because the data are there."""
        return workers.is_installed() or self.is_built(**kwargs)

    def prepare_source(self, **_kwargs: Any) -> None:
        """Say how to install the synthesiser.

        Raises:
            MissingDependencyError: If it is not installed.
        """
        workers.locate_synthesizer()

    def is_built(
        self,
        *,
        data_dir: str,
        sizes: Mapping[str, int],
        seed: int,
        part_size: int = 250,
        **_kwargs: Any,
    ) -> bool:
        """Tell whether the manifests exist and were made with these arguments."""
        return _make_record(data_dir, sizes, seed, part_size).is_complete()

    def build(
        self,
        *,
        data_dir: str,
        sizes: Mapping[str, int],
        seed: int,
        part_size: int = 250,
        num_processes: int = 2,
    ) -> None:
        """Write the WAV files and the manifests; parts that exist are kept.

        Raises:
            ConfigError: If a size, ``part_size`` or ``num_processes`` is not positive.
            DataError: If the synthesiser fails or lacks a voice.
        """
        _check_positive({"part_size": part_size, "num_processes": num_processes})
        _check_positive({f"sizes.{split}": size for split, size in sizes.items()})
        settings = load_corpus_settings()
        _check_voices(settings)
        _make_record(data_dir, sizes, seed, part_size).start(parts=["wav"])
        parts = {
            split: list(split_parts(split, plan_split(settings, split, size, seed), part_size))
            for split, size in sizes.items()
        }
        root = Path(data_dir)
        everything = [part for split in parts.values() for part in split]
        speak_parts(root, everything, settings.sample_rate, num_processes)
        for split, split_list in parts.items():
            rows = [row for part in split_list for row in _manifest_rows(root, part)]
            write_manifest(root / _manifest_path(split), rows)


def _manifest_path(split: str) -> Path:
    return Path("manifest", f"{split}.tsv")


def _manifest_rows(root: Path, part: Part) -> list[ManifestRow]:
    return [
        ManifestRow(u.utt_id, root / part.folder / f"{u.utt_id}.wav", u.text)
        for u in part.utterances
    ]


def _make_record(
    data_dir: str, sizes: Mapping[str, int], seed: int, part_size: int
) -> CorpusRecord:
    settings = load_corpus_settings()
    if set(sizes) != set(SPLITS):
        message = f"must have the keys {', '.join(SPLITS)}"
        raise ConfigError(message, key="create_dataset.sizes", value=dict(sizes))
    contents = {
        "builder": "mini_digits 1",
        "settings": dataclasses.asdict(settings),
        "sizes": dict(sizes),
        "seed": seed,
        "part_size": part_size,
    }
    return CorpusRecord(data_dir, contents, outputs=[_manifest_path(split) for split in sizes])


def _check_positive(numbers: Mapping[str, int]) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ConfigError("must be at least 1", key=f"create_dataset.{name}", value=number)


def _check_voices(settings: CorpusSettings) -> None:
    """Look for every voice, because eSpeak NG silently takes another one for an unknown name."""
    data = Path(workers.locate_synthesizer()["data"])
    files = [f"lang/{accent}" for accent in settings.accents]
    files += [f"voices/!v/{voice}" for voices in settings.voices.values() for voice in voices]
    missing = [name for name in files if not (data / name).is_file()]
    if missing:
        raise DataError(
            f"{data}: this eSpeak NG has no {', '.join(missing[:5])}\n"
            "  install espeakng-loader as in constraints.txt, or change dataset/config.yaml"
        )
