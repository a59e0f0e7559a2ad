"""How long the samples of a test set are, from the cheapest source that knows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espnet3.components.data.fileio import ShapeFileError, read_lengths
from espnet3.systems.base.inference_samples import stated_ids
from espnet3.utils.yaml_source import read_yaml

logger = logging.getLogger(__name__)

_AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".sph", ".aiff", ".au"}
_TRIED = 16
_TOLERANCE = 0.01


class Lengths(NamedTuple):
    """The length of every sample, and who said so."""

    source: str
    values: list[float]


def find_lengths(dataset: Any, key: str, training_config: Path | None = None) -> Lengths | None:
    """Return the lengths of all samples if something knows them without reading the samples.

    A data set may tell by ``get_length(index)`` or ``lengths``. What the data set that it wraps
    tells, and shape files of ``collect_stats`` with exactly the ids of the test set, count only if
    they are right about three samples: a transform may have changed the length.

    Args:
        dataset: Test set.
        key: Field whose length counts.
        training_config: ``training.yaml`` of the model, whose ``stats_dir`` has the shape files.
    """
    own = _told_by(dataset, len(dataset))
    if own is not None:
        return own
    for found in _candidates(dataset, key, training_config):
        if _agrees(found, dataset, key):
            return found
    return None


def length_of(value: Any) -> float:
    """Return the length of a field; that of an audio file, from its header, if it names one."""
    if isinstance(value, str | Path) and Path(value).suffix.lower() in _AUDIO_SUFFIXES:
        from espnet3.components.data import audio

        return float(audio.info(value).num_samples)
    return float(len(value))


def fill_gaps(lengths: Sequence[float | None], longest: float = 0.0) -> list[float]:
    """Take what has no length for as long as the longest: it fails in its turn."""
    longest = max((length for length in lengths if length is not None), default=longest)
    return [longest if length is None else length for length in lengths]


def _candidates(dataset: Any, key: str, training_config: Path | None) -> Iterator[Lengths]:
    """Yield what may be the lengths, the cheapest first: a shape file is one, headers are many."""
    for path in _files(training_config, key):
        shapes = _read_shapes(path, dataset)
        if shapes is not None:
            yield shapes
    inner = _told_by(getattr(dataset, "dataset", None), len(dataset))
    if inner is not None:
        yield inner


def _told_by(dataset: Any, count: int) -> Lengths | None:
    """Ask a data set; ``None`` if it cannot tell."""
    ask = getattr(dataset, "get_length", None)
    values = _ask_each(ask, count) if callable(ask) else None
    if values is not None:
        return Lengths("get_length of the data set", values)
    known = getattr(dataset, "lengths", None)
    if isinstance(known, Sequence | np.ndarray) and len(known) == count:
        return Lengths("lengths of the data set", [float(length) for length in known])
    return None


def _ask_each(ask: Callable[[int], Any], count: int) -> list[float] | None:
    """Return all answers; ``None`` if the first ones all fail."""
    values: list[float | None] = []
    for index in range(count):
        try:
            values.append(float(ask(index)))
        except Exception as error:  # the code of the data set runs
            values.append(None)
            if len(values) == min(_TRIED, count) and set(values) == {None}:
                logger.info("get_length of the data set is not used: %s", error)
                return None
    return fill_gaps(values)


def _files(training_config: Path | None, key: str) -> Iterator[Path]:
    """Yield the shape files of a field, of all splits."""
    if training_config is None or not training_config.is_file():
        return
    content = read_yaml(training_config).value
    folder = content.get("stats_dir") if isinstance(content, Mapping) else None
    if isinstance(folder, str):
        yield from sorted(Path(folder).glob(f"*/{key}_shape"))


def _read_shapes(path: Path, dataset: Any) -> Lengths | None:
    try:
        ids, values = read_lengths(path)
    except (OSError, ShapeFileError) as error:
        logger.info("%s is not used for lengths: %s", path, error)
        return None
    if not ids or ids != stated_ids(dataset):
        return None
    return Lengths(str(path), [float(value) for value in values])


def _agrees(found: Lengths, dataset: Any, key: str) -> bool:
    """Compare with the first, the middle and the last sample."""
    last = len(dataset) - 1
    compared = 0
    for index in sorted({0, last // 2, last}):
        try:
            true = length_of(dataset[index][key])
        except Exception:  # noqa: S112 - it fails when it is decoded, and is named then
            continue
        compared += 1
        if abs(true - found.values[index]) > max(1.0, _TOLERANCE * true):
            logger.info(
                "%s is not used: it says %g for item %d, whose %s has %g",
                found.source,
                found.values[index],
                index,
                key,
                true,
            )
            return False
    return compared > 0
