"""Manifests: TSV files with one utterance per line, and data sets of utterances."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet3.components.data import audio
from espnet3.errors import DataError
from espnet3.utils.fingerprint import fingerprint, fingerprint_file
from espnet3.utils.path_utils import atomic_open
from espnet3.utils.types import Hz, PathLike, UttId

_SIZES_CHECKED = 100
"""Audio files that stand for all when a data set is compared with an earlier state of it."""


class ManifestError(DataError, RuntimeError):
    """A manifest is empty or malformed."""


class ManifestRow(NamedTuple):
    """One utterance of a manifest."""

    utt_id: UttId
    wav_path: Path
    """Absolute after reading."""
    text: str
    """Transcript; may contain tabs."""


def read_manifest(path: PathLike, recipe_dir: PathLike | None = None) -> list[ManifestRow]:
    """Read a manifest of lines ``utt_id<TAB>wav_path<TAB>text``.

    Relative audio paths are looked up, by the first row, in the data folder (the parent of
    ``manifest/``), the folder of the manifest, and ``recipe_dir``. Blank lines are ignored.

    Raises:
        FileNotFoundError: If the manifest does not exist.
        ManifestError: If it is empty, a line has fewer than three fields, or an id occurs twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"manifest {path} does not exist; run create_dataset first")
    rows = [
        _parse(line, path, number)
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1)
        if line.strip()
    ]
    if not rows:
        raise ManifestError(f"manifest {path} is empty")
    seen: set[UttId] = set()
    for row in rows:
        if row.utt_id in seen:
            raise ManifestError(f"manifest {path}: utterance {row.utt_id!r} is listed twice")
        seen.add(row.utt_id)
    root = _find_root(path, rows[0].wav_path, recipe_dir)
    return [row._replace(wav_path=root / row.wav_path) for row in rows]


def write_manifest(
    path: PathLike, rows: Iterable[ManifestRow], root: PathLike | None = None
) -> None:
    """Write a manifest atomically, with audio paths relative to the data folder.

    Args:
        path: Manifest, usually ``<data_dir>/manifest/<split>.tsv``.
        rows: Utterances.
        root: Folder that paths are relative to; by default the parent of ``manifest/``, or the
            folder of the manifest if that has another name.

    Raises:
        ManifestError: If an id or path holds a tab or line break, or a text a line break.
    """
    base = Path(root) if root is not None else _data_folder(Path(path))
    base = base.resolve()
    with atomic_open(path) as stream:
        for row in rows:
            wav_path = Path(os.path.relpath(Path(row.wav_path).resolve(), base)).as_posix()
            if "\t" in row.utt_id + wav_path or "\n" in row.utt_id + wav_path + row.text:
                raise ManifestError(f"utterance {row.utt_id!r} holds a tab or line break")
            stream.write(f"{row.utt_id}\t{wav_path}\t{row.text}\n")


class UtteranceDataset:
    """Recordings with transcripts: ``{"utt_id": str, "speech": float32 (S,), "text": str}``.

    Args:
        rows: Utterances.
        fs: Sample rate in Hz that all audio must have; ``None`` accepts any.
        resample: Resample audio of another rate to ``fs`` instead of refusing it.
    """

    def __init__(
        self, rows: list[ManifestRow], fs: Hz | None = None, *, resample: bool = False
    ) -> None:
        self.rows = rows
        self.fs = fs
        self.resample = resample

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one utterance.

        Raises:
            AudioError: If its audio is unreadable, not mono, or has another rate than ``fs``.
        """
        row = self.rows[index]
        speech, rate = audio.load(row.wav_path, target_sr=self.fs if self.resample else None)
        if self.fs is not None and rate != self.fs:
            raise audio.AudioError(
                f"{row.wav_path}: has {rate} Hz, the recipe expects {self.fs} Hz; set the"
                " recipe's rate to that of its audio, or resample: true"
            )
        if speech.ndim != 1:
            raise audio.AudioError(f"{row.wav_path}: has {speech.shape[1]} channels, expected one")
        return {"utt_id": row.utt_id, "speech": speech, "text": row.text}

    @functools.cached_property
    def sample_rate(self) -> Hz | None:
        """Sample rate of ``speech``: ``fs``, or where that is open, that of the first utterance."""
        if self.fs is not None:
            return self.fs
        try:
            return audio.info(self.rows[0].wav_path).sample_rate
        except (FileNotFoundError, audio.AudioError):  # whoever reads it says so
            return None

    def keys(self) -> list[UttId]:
        """Return the utterance ids in order."""
        return self._keys

    def get_text(self, index: int) -> str:
        """Return a transcript without reading audio."""
        return self.rows[index].text

    def get_length(self, index: int) -> int:
        """Return the number of samples from the audio header, at the rate of ``speech``."""
        header = audio.info(self.rows[index].wav_path)
        if not self.resample or self.fs is None:
            return header.num_samples
        return round(header.num_samples * self.fs / header.sample_rate)

    def content_id(self) -> list[Any]:
        """Return the digest of ids and transcripts, and the sizes of some of the audio files."""
        step = max(1, -(-len(self.rows) // _SIZES_CHECKED))
        paths = [row.wav_path for row in self.rows[::step]]
        sizes = [path.stat().st_size if path.exists() else None for path in paths]
        return [self._list_id(), self.fs, self.resample, sizes]

    def _list_id(self) -> str:
        return fingerprint([[row.utt_id, row.text] for row in self.rows])

    @functools.cached_property
    def _keys(self) -> list[UttId]:
        return [row.utt_id for row in self.rows]


class ManifestDataset(UtteranceDataset):
    """Utterances of a manifest.

    Args:
        manifest_path: TSV file, see :func:`read_manifest`.
        fs: As for :class:`UtteranceDataset`.
        resample: Likewise.
        recipe_dir: One more place where relative paths are looked up.

    Raises:
        FileNotFoundError: If the manifest does not exist.
        ManifestError: If the manifest is empty or malformed.
    """

    def __init__(
        self,
        manifest_path: PathLike,
        fs: Hz | None = None,
        *,
        resample: bool = False,
        recipe_dir: PathLike | None = None,
    ) -> None:
        self.manifest_path = Path(manifest_path)
        super().__init__(read_manifest(self.manifest_path, recipe_dir), fs, resample=resample)

    def _list_id(self) -> str:
        # A file's digest is kept from one run to the next.
        return fingerprint_file(self.manifest_path)


class SplitDataset(ManifestDataset):
    """Utterances of one split of a corpus: those of ``<data_dir>/manifest/<split>.tsv``.

    Args:
        split: Name of the split.
        data_dir: The folder that ``create_dataset`` filled.
        splits: The names that there are.
        fs: Sample rate in Hz that all audio must have.

    Raises:
        DataError: If there is no such split.
        FileNotFoundError: If the split has not been built.
    """

    def __init__(self, split: str, data_dir: PathLike, *, splits: Sequence[str], fs: Hz) -> None:
        if split not in splits:
            raise DataError(f"no split {split!r} (there are {', '.join(splits)})")
        super().__init__(Path(data_dir, "manifest", f"{split}.tsv"), fs)


def _parse(line: str, path: Path, number: int) -> ManifestRow:
    fields = line.rstrip("\r").split("\t", 2)
    if len(fields) != 3 or not fields[0] or not fields[1]:
        raise ManifestError(f"{path}:{number}: expected utt_id<TAB>wav_path<TAB>text, got {line!r}")
    return ManifestRow(fields[0], Path(fields[1]), fields[2])


def _find_root(path: Path, wav_path: Path, recipe_dir: PathLike | None) -> Path:
    roots = [_data_folder(path), path.parent, *([Path(recipe_dir)] if recipe_dir else [])]
    found = next((root for root in roots if (root / wav_path).exists()), roots[0])
    return found.resolve()


def _data_folder(path: Path) -> Path:
    return path.parent.parent if path.parent.name == "manifest" else path.parent
