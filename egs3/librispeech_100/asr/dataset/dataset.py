"""Read the utterances."""

from __future__ import annotations

from pathlib import Path

from espnet3.components.data.manifest import UtteranceDataset
from espnet3.errors import DataError

from .corpus import RECIPE_DIR, find_corpus, list_utterances, load_corpus_settings


class LibriSpeechDataset(UtteranceDataset):
    """Utterances of a split: ``{"utt_id": str, "speech": float32 (samples,), "text": str}``.

    Args:
        split: Name of a part of the corpus, for example ``dev-clean``.
        recipe_dir: Root of the recipe; by default the one that this module belongs to.
        source_dir: Where the corpus lies, see :func:`~.corpus.find_corpus`.

    Raises:
        DataError: If there is no such split, or no utterance in it.
        FileNotFoundError: If the corpus is nowhere.
    """

    def __init__(
        self, split: str, recipe_dir: str | None = None, source_dir: str | None = None
    ) -> None:
        corpus = load_corpus_settings()
        if split not in corpus.splits:
            raise DataError(f"no split {split!r} (there are {', '.join(corpus.splits)})")
        root = find_corpus(
            Path(recipe_dir) if recipe_dir else RECIPE_DIR,
            Path(source_dir) if source_dir else None,
        )
        super().__init__(list_utterances(root, split), fs=corpus.sample_rate)
