"""Text for the tokenizer."""

from __future__ import annotations

from espnet3.components.data.manifest import read_manifest


def gather_training_text(manifest_path: str) -> list[str]:
    """Return the transcripts of a manifest, one per utterance."""
    return [row.text for row in read_manifest(manifest_path)]
