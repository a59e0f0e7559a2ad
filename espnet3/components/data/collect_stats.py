"""Lengths of all utterances, and sums of their features for normalisation."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from espnet3 import __version__
from espnet3.components.data.dataloader import refuse_multiple_iterator
from espnet3.components.data.stats_batch import collect_stats_batch
from espnet3.components.data.stats_identity import (
    CONTENT,
    find_changes,
    identify,
    read_parts,
    with_preprocessor_mode,
)
from espnet3.components.data.stats_provider import (
    CollectFeatsMissingError,
    CollectStatsInferenceProvider,
    CollectStatsRunner,
)
from espnet3.components.data.stats_writer import StatsWriter, check_replaceable
from espnet3.errors import ConfigError, DataError
from espnet3.parallel.parallel import set_parallel
from espnet3.utils.config_utils import to_plain
from espnet3.utils.fingerprint import fingerprint
from espnet3.utils.lock_utils import file_lock
from espnet3.utils.path_utils import atomic_directory
from espnet3.utils.progress import progress_bar

__all__ = [
    "CollectFeatsMissingError",
    "CollectStatsInferenceProvider",
    "CollectStatsRunner",
    "collect_stats",
    "collect_stats_batch",
]

logger = logging.getLogger(__name__)


def collect_stats(
    model_config: Any,
    dataset_config: Any,
    dataloader_config: Any,
    mode: str,
    output_dir: Path,
    task: str | None = None,
    parallel_config: Any = None,
    write_collected_feats: bool = False,
    batch_size: int = 4,
    *,
    keys: Sequence[str] | None = None,
    augment: bool | None = None,
    resume: bool = True,
    lengths_only: bool = False,
) -> None:
    """Write ``<output_dir>/<mode>`` with the shapes and feature sums of a split.

    The files are ``<key>_shape``, ``<key>_stats.npz`` (``count``, ``sum``, ``sum_square``),
    ``stats_keys`` and ``stats_meta.json``. They appear together when all are complete. No
    configuration is changed.

    Args:
        model_config: ``_target_`` mapping of a model with ``collect_feats(**batch)``.
        dataset_config: ``_target_`` mapping of an object with ``train`` and ``valid``.
        dataloader_config: The ``dataloader`` section; ``collate_fn`` is read.
        mode: ``train`` or ``valid``.
        output_dir: Folder of statistics.
        task: Task class of ESPnet2 that builds the model from ``model_config``.
        parallel_config: ``parallel`` section to register first.
        write_collected_feats: Also store the features themselves.
        batch_size: Utterances per batch.
        keys: Features to keep; ``None`` keeps all.
        augment: What ``dataset.preprocessor.train`` becomes for ``train`` (``valid`` gets
            ``False``); ``None`` leaves it.
        resume: Do nothing if the folder was made of the same data and settings.
        lengths_only: Write ``speech_shape`` from audio headers; no model is built.

    Raises:
        ConfigError: If ``batch_size`` is not positive, or the split does not exist.
        MissingConfigError: If ``multiple_iterator`` is set.
        CollectFeatsMissingError: If the model has no ``collect_feats``.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ConfigError(
            "batch_size must be a positive integer", value=batch_size, key="batch_size"
        )
    loaders = to_plain(dataloader_config) or {}
    refuse_multiple_iterator(loaders.get(mode) or {}, mode)
    if parallel_config is not None:
        set_parallel(OmegaConf.create(to_plain(parallel_config)))
    data = with_preprocessor_mode(to_plain(dataset_config), mode, augment)
    params = {"write_collected_feats": write_collected_feats}
    provider = CollectStatsInferenceProvider(model_config, data, loaders, mode, task, params=params)
    folder = Path(output_dir) / mode
    with file_lock(Path(output_dir) / f".{mode}.lock"):
        parts = _identify(provider, keys=keys, lengths_only=lengths_only)
        if resume and _is_up_to_date(folder, mode, parts):
            return
        check_replaceable(folder)
        for leftover in Path(output_dir).glob(f".{mode}.partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with (
            atomic_directory(folder) as building,
            StatsWriter(building, final_folder=folder.absolute(), keys=keys).open() as writer,
        ):
            if lengths_only:
                _write_lengths(provider.dataset, writer, batch_size, mode)
            else:
                _run(provider, writer, batch_size, mode)
            writer.finish({"version": __version__, "mode": mode, "parts": parts})
    logger.info("collect_stats %s: utterances=%d in %s", mode, writer.num_utterances, folder)


def _run(
    provider: CollectStatsInferenceProvider, writer: StatsWriter, batch_size: int, mode: str
) -> None:
    total = len(provider.dataset)
    if not total:
        logger.warning("collect_stats %s: the split is empty", mode)
        return
    outputs = CollectStatsRunner(provider).iter_outputs(_chunk_indices(total, batch_size))
    with progress_bar(total, f"collect_stats {mode}") as progress:
        for stats, shapes, *feats in outputs:
            before = writer.num_utterances
            writer.add_sums(stats)
            writer.add_shapes(shapes)
            if feats:
                writer.add_feats(feats[0], shapes)
            progress.update(writer.num_utterances - before)


def _write_lengths(dataset: Any, writer: StatsWriter, batch_size: int, mode: str) -> None:
    if not callable(getattr(dataset, "get_length", None)):
        raise DataError(
            f"lengths_only needs get_length(index) and uid(index), which {type(dataset).__name__}"
            " lacks\n  set collect_stats.lengths_only: false"
        )
    with progress_bar(len(dataset), f"collect_stats {mode}") as progress:
        for chunk in _chunk_indices(len(dataset), batch_size):
            lengths = {dataset.uid(i): str(dataset.get_length(i)) for i in chunk}
            writer.add_shapes({"speech": lengths})
            progress.update(len(chunk))


def _chunk_indices(n: int, batch_size: int) -> list[list[int]]:
    return [list(range(start, min(start + batch_size, n))) for start in range(0, n, batch_size)]


def _identify(
    provider: CollectStatsInferenceProvider, *, keys: Sequence[str] | None, lengths_only: bool
) -> dict[str, str] | None:
    """Return digests of data and settings, ``None`` if they cannot be compared."""
    describe = getattr(provider.dataset, "content_id", None)
    content = describe() if callable(describe) else len(provider.dataset)
    try:
        parts = identify(
            to_plain(provider.config), params=provider.params, keys=keys, lengths_only=lengths_only
        )
        return {**parts, CONTENT: fingerprint(content)}
    except TypeError as error:
        logger.info("collect_stats: not comparable with earlier runs: %s", error)
        return None


def _is_up_to_date(folder: Path, mode: str, parts: Mapping[str, str] | None) -> bool:
    """Tell whether a folder holds what would be written; say why if not."""
    earlier = read_parts(folder)
    if not earlier or parts is None:
        return False
    changes = find_changes(earlier, parts)
    if changes:
        logger.info("collect_stats %s: collected again, because of %s", mode, ", ".join(changes))
        return False
    logger.info("collect_stats %s: %s is up to date", mode, folder)
    return True
