"""Data of the recipe: how it is made and how it is read."""

from __future__ import annotations

from .builder import MiniDigitsBuilder as DatasetBuilder
from .dataset import MiniDigitsDataset as Dataset

__all__ = ["Dataset", "DatasetBuilder"]
