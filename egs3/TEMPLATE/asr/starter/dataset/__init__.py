"""Data of the recipe: how it is made and how it is read."""

from __future__ import annotations

from .builder import CorpusBuilder as DatasetBuilder
from .dataset import CorpusDataset as Dataset

__all__ = ["Dataset", "DatasetBuilder"]
