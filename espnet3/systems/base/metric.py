"""The ``measure`` stage: score what ``infer`` wrote."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from espnet3.components.metrics.base_metric import BaseMetric
from espnet3.errors import ConfigError, DataError, SettingError
from espnet3.systems.base.inference_state import FinishedRun, is_unfinished
from espnet3.systems.base.score_table import format_table
from espnet3.systems.base.settings import MeasureSettings, MetricSettings
from espnet3.utils.config_utils import instantiate_config
from espnet3.utils.path_utils import write_json, write_text
from espnet3.utils.scp_utils import get_class_path, load_scp_paths, read_scp
from espnet3.utils.settings import parse_settings
from espnet3.utils.writer_utils import to_scalar

logger = logging.getLogger(__name__)


def measure(metrics_config: DictConfig) -> dict[str, dict[str, dict[str, float]]]:
    """Score the test sets of an inference folder with every configured metric.

    Writes, into ``inference_dir``, ``metrics.json`` (the returned value), ``metrics_details.json``
    (what the scores were made of, and the coverage of each test set) and ``metrics.md`` (a table).

    Args:
        metrics_config: Resolved metrics.yaml. It is not changed.

    Returns:
        Scores as ``{metric: {test set: {score name: value}}}``, where a metric is named by its
        class path or by ``metrics[i].name``.

    Raises:
        ConfigError: If there are no test sets, or a metric has no inputs.
        TypeError: If a configured object is no metric.
        ScpError: If an input file is missing or two of them do not fit together.
        DataError: If a test set is incomplete and ``allow_incomplete`` is not set.
    """
    settings = parse_settings(metrics_config, MeasureSettings, key="")
    entries = [_build(entry, index) for index, entry in enumerate(settings.metrics or [])]
    named = _name_entries(entries)
    folder = settings.inference_dir
    test_names = (settings.test_names() or _find_test_sets(folder)) if named else []
    inputs = {
        (key, test_name): load_scp_paths(folder, test_name, entry.inputs)
        for key, entry in named.items()
        for test_name in test_names
    }
    coverage = {name: _read_coverage(folder / name, inputs, name) for name in test_names}
    if not settings.allow_incomplete:
        _refuse_incomplete(coverage)
    scores: dict[str, Any] = _read_earlier(folder / "metrics.json") if settings.merge else {}
    details: dict[str, Any] = {}
    if settings.merge:
        details = _read_earlier(folder / "metrics_details.json").get("metrics", {})
    for key, entry in named.items():
        scores[key], details[key] = {}, {}
        for test_name in test_names:
            result = entry.metric(inputs[key, test_name], test_name, folder)
            scores[key][test_name] = {name: to_scalar(value) for name, value in result.items()}
            details[key][test_name] = dict(entry.metric.details)
    _write(folder, scores, details, coverage)
    return scores


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    """A metric that is ready to run."""

    metric: BaseMetric
    name: str | None
    inputs: Sequence[str] | Mapping[str, str]


def _build(entry: MetricSettings, index: int) -> _Entry:
    key = f"metrics[{index}]"
    metric = instantiate_config(entry.metric, key=f"{key}.metric")
    path = get_class_path(metric)
    if not isinstance(metric, BaseMetric):
        raise TypeError(f"{key}.metric: {path} is not a valid BaseMetric instance")
    logger.info("Metric: %s %s", path, {k: v for k, v in entry.metric.items() if k[0] != "_"})
    inputs: Sequence[str] | Mapping[str, str] | None = entry.inputs
    if inputs is None:
        if not (hasattr(metric, "ref_key") and hasattr(metric, "hyp_key")):
            raise ConfigError(f"{path} requires inputs in config", key=f"{key}.inputs")
        inputs = [metric.ref_key, metric.hyp_key]
    return _Entry(metric=metric, name=entry.name, inputs=inputs)


def _name_entries(entries: Sequence[_Entry]) -> dict[str, _Entry]:
    """Name each entry; later ones of one class get a number."""
    named: dict[str, _Entry] = {}
    for entry in entries:
        path = get_class_path(entry.metric)
        key, number = entry.name or path, 1
        if entry.name in named:
            raise SettingError("two metrics have this name", key="metrics", value=entry.name)
        while key in named:
            number += 1
            key = f"{path}#{number}"
        if number > 1:
            logger.warning("%s is configured before; `name` would name its scores %r", path, key)
        named[key] = entry
    return named


def _find_test_sets(folder: Path) -> list[str]:
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    names = [
        child.name
        for child in children
        if child.is_dir() and not child.name.startswith(".") and any(child.glob("*.scp"))
    ]
    if not names:
        raise ConfigError(
            f"No test sets found in {folder}",
            key="inference_dir",
            hint="run the stage `infer` first, or correct `inference_dir`",
        )
    return names


def _read_coverage(
    folder: Path, inputs: Mapping[tuple[str, str], Mapping[str, Path]], test_name: str
) -> dict[str, Any]:
    """Compare the number of lines with the number of samples, where it is known."""
    paths = {p for (_, name), files in inputs.items() if name == test_name for p in files.values()}
    scored = min((sum(1 for _ in read_scp(path)) for path in paths), default=0)
    run = FinishedRun.load(folder)
    total = run.num_samples if run else None
    return {
        "scored": scored,
        "samples": total,
        "coverage": round(min(1.0, scored / total), 6) if total else None,
        "unfinished": is_unfinished(folder),
    }


def _refuse_incomplete(coverage: Mapping[str, Mapping[str, Any]]) -> None:
    for name, counts in coverage.items():
        problem = None
        if counts["unfinished"]:
            problem = "a run of `infer` on it has not finished"
        elif counts["samples"] is not None and counts["scored"] < counts["samples"]:
            problem = f"only {counts['scored']} of {counts['samples']} samples have an output"
        if problem:
            raise DataError(
                f"test set {name!r} is incomplete: {problem}\n  run the stage `infer` again, "
                "or set `allow_incomplete: true` to score what there is"
            )


def _read_earlier(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        content = error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no scores to merge with\n  remove it, or set `merge: false`")
    return content


def _write(
    folder: Path,
    scores: Mapping[str, Any],
    details: Mapping[str, Any],
    coverage: Mapping[str, Any],
) -> None:
    write_json(folder / "metrics.json", scores)
    write_json(folder / "metrics_details.json", {"metrics": details, "test_sets": coverage})
    table = format_table(scores, details)
    write_text(folder / "metrics.md", table)
    logger.info("Scores in %s:\n%s", folder / "metrics.json", table)
