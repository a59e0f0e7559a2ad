"""The contract of corpus preparation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class DatasetBuilder(ABC):
    """Prepare a corpus in two steps, each with a cheap check.

    ``create_dataset`` calls, with the items of its configuration block as keywords::

        is_source_prepared -> prepare_source (if not) -> is_built -> build (if not)

    Implementations name the keywords that they need and take the rest as ``**_kwargs``. They are
    idempotent: with complete outputs nothing is written. Deriving from this class is optional; any
    object with these four methods will do.

    A class attribute ``SETTINGS`` may name a dataclass of the same module whose fields are the
    keywords; then unknown and missing keywords are reported before any stage starts.
    """

    @abstractmethod
    def is_source_prepared(self, **kwargs: Any) -> bool:
        """Tell whether the raw corpus is present; absence is ``False``, not an exception."""

    @abstractmethod
    def prepare_source(self, **kwargs: Any) -> None:
        """Download, extract or validate the raw corpus."""

    @abstractmethod
    def is_built(self, **kwargs: Any) -> bool:
        """Tell, cheaply and deterministically, whether the task-ready files are complete."""

    @abstractmethod
    def build(self, **kwargs: Any) -> None:
        """Make the task-ready files from the raw corpus."""
