"""Data of the recipe: where the corpus lies and how it is read."""

from __future__ import annotations

from .builder import LibriSpeechBuilder as DatasetBuilder
from .dataset import LibriSpeechDataset as Dataset

__all__ = ["Dataset", "DatasetBuilder"]
