"""Read the strings of real digits."""

from __future__ import annotations

from pathlib import Path

from espnet3.components.data.manifest import ManifestDataset
from espnet3.errors import DataError

from .plan import SPLITS, load_corpus_settings


class FsddDataset(ManifestDataset):
    """Utterances of a split: ``{"utt_id": str, "speech": float32 (samples,), "text": str}``.

    Args:
        split: ``train``, ``valid`` or ``test``.
        data_dir: The folder that ``create_dataset`` filled.

    Raises:
        DataError: If there is no such split.
        FileNotFoundError: If the split has not been built.
    """

    def __init__(self, split: str, data_dir: str) -> None:
        if split not in SPLITS:
            raise DataError(f"no split {split!r} (there are {', '.join(SPLITS)})")
        manifest = Path(data_dir, "manifest", f"{split}.tsv")
        super().__init__(manifest, fs=load_corpus_settings().sample_rate)
