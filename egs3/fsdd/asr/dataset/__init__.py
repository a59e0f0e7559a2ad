"""Data of the recipe: how it is made and how it is read."""

from __future__ import annotations

from .builder import FsddBuilder as DatasetBuilder
from .dataset import FsddDataset as Dataset

__all__ = ["Dataset", "DatasetBuilder"]
