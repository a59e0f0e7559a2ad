"""What a speech recogniser needs in its bundle besides the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig


def find_bundle_assets(training_config: Mapping[str, Any] | DictConfig) -> list[Path]:
    """Return the tokenizer and the statistics of an experiment, as far as they exist.

    Of statistics that ``collect_stats`` wrote for training and validation, only the sums of the
    training set are needed; any other ``stats_dir`` is taken whole.
    """
    save_path = _read_path(training_config, "tokenizer.save_path")
    data_dir = _read_path(training_config, "data_dir")
    tokenizers = [save_path, data_dir / "tokenizer" if data_dir else None]
    assets = [path for path in tokenizers if path is not None and path.exists()]
    stats_dir = _read_path(training_config, "stats_dir")
    if stats_dir is not None and stats_dir.exists():
        collected = all(_has_statistics(stats_dir / split) for split in ("train", "valid"))
        assets += sorted((stats_dir / "train").glob("*.npz")) if collected else [stats_dir]
    return list(dict.fromkeys(assets))


def _has_statistics(folder: Path) -> bool:
    # Without sums, what `collect_stats` leaves is lengths by utterance id: nobody else's business.
    is_own = (folder / "stats_keys").is_file()
    return is_own or all(any(folder.glob(pattern)) for pattern in ("*.npz", "*shape*"))


def _read_path(config: Mapping[str, Any] | DictConfig, key: str) -> Path | None:
    from omegaconf import DictConfig, OmegaConf

    node = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    value = OmegaConf.select(node, key)
    return Path(str(value)) if value else None
