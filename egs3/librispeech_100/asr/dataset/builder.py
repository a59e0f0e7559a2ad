"""Check that the corpus is there; its files are read where they lie."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from espnet3.components.data.dataset_builder import DatasetBuilder
from espnet3.errors import MissingFileError
from espnet3.utils.settings import parse_settings

from .corpus import RECIPE_DIR, find_corpus


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """The block ``create_dataset`` of ``conf/training.yaml``."""

    recipe_dir: Path = RECIPE_DIR
    """Root of the recipe."""
    source_dir: Path | None = None
    """Where the corpus lies, unless it is in ``download`` of the recipe."""


class LibriSpeechBuilder(DatasetBuilder):
    """The corpus in its original layout, of which nothing is made.

    The arguments of its methods are the fields of :class:`BuildSettings`.
    """

    SETTINGS = BuildSettings

    def is_source_prepared(self, **kwargs: Any) -> bool:
        """Tell whether all splits are there."""
        try:
            self.prepare_source(**kwargs)
        except MissingFileError:
            return False
        return True

    def prepare_source(self, **kwargs: Any) -> None:
        """Check that all splits are there.

        Raises:
            MissingFileError: If the corpus is nowhere, or lacks splits.
        """
        settings = parse_settings(kwargs, BuildSettings, key="create_dataset")
        find_corpus(settings.recipe_dir, settings.source_dir)

    def is_built(self, **kwargs: Any) -> bool:
        """Tell whether all splits are there, which is all that is needed."""
        return self.is_source_prepared(**kwargs)

    def build(self, **kwargs: Any) -> None:
        """Check that all splits are there; nothing is made of them."""
        self.prepare_source(**kwargs)
