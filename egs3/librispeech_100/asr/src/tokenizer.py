"""Text for the tokenizer."""

from __future__ import annotations

from espnet3.components.data.dataset_module import load_dataset_module


def gather_training_text(recipe_dir: str, source_dir: str | None = None) -> list[str]:
    """Return the transcripts of ``train-clean-100``, one per utterance."""
    dataset = load_dataset_module(data_src=None, recipe_dir=recipe_dir).Dataset(
        "train-clean-100", recipe_dir=recipe_dir, source_dir=source_dir
    )
    return [row.text for row in dataset.rows]
