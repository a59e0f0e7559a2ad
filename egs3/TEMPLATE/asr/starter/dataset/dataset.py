"""Read the utterances of a split."""

from __future__ import annotations

from pathlib import Path

from espnet3.components.data.manifest import ManifestDataset

SAMPLE_RATE = 16000
"""Hz that the model hears (`model.frontend.fs`); audio of another rate is resampled."""


class CorpusDataset(ManifestDataset):
    """Utterances: ``{"utt_id": str, "speech": float32 (samples,), "text": str}``.

    Args:
        split: ``train``, ``valid``, ``test`` or another name under ``create_dataset.lists``.
        data_dir: The folder that ``create_dataset`` filled.

    Raises:
        FileNotFoundError: If the split has not been made.
    """

    def __init__(self, split: str, data_dir: str) -> None:
        manifest = Path(data_dir, "manifest", f"{split}.tsv")
        super().__init__(manifest, fs=SAMPLE_RATE, resample=True)
