"""Read the strings of real digits."""

from __future__ import annotations

from espnet3.components.data.manifest import SplitDataset

from .plan import SPLITS, load_corpus_settings


class FsddDataset(SplitDataset):
    """Utterances of a split: ``{"utt_id": str, "speech": float32 (samples,), "text": str}``."""

    def __init__(self, split: str, data_dir: str) -> None:
        super().__init__(split, data_dir, splits=SPLITS, fs=load_corpus_settings().sample_rate)
