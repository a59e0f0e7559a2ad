"""Where everything lies: the content of ``config.yaml``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from espnet3.utils.config_utils import load_config_with_defaults
from espnet3.utils.settings import parse_settings

RECIPE_DIR = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class SourcePart:
    """A part of the corpus: its list of transcripts, and the folder with its audio."""

    transcript_name: str
    sph_subdir: str


@dataclass(frozen=True, kw_only=True)
class BuilderLayout:
    """Section ``builder``."""

    dataset_path: Path
    data_path: Path
    archive_path: Path
    splits: dict[str, SourcePart]
    dev_size: int


@dataclass(frozen=True, kw_only=True)
class DatasetLayout:
    """Section ``dataset``."""

    split_manifest_paths: dict[str, Path]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The content of ``config.yaml``."""

    builder: BuilderLayout
    dataset: DatasetLayout


@functools.cache
def load_layout() -> Layout:
    """Read ``config.yaml``."""
    path = Path(__file__).with_name("config.yaml")
    return parse_settings(load_config_with_defaults(path), Layout, key="", file=path)
