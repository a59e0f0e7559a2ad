"""Data of the recipe: how it is made and how it is read."""

from __future__ import annotations

from .builder import MiniAn4Builder as DatasetBuilder
from .dataset import MiniAn4Dataset as Dataset

__all__ = ["Dataset", "DatasetBuilder"]
