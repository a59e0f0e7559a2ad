"""The ``measure`` stage: score what ``infer`` wrote."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.components.metrics.base_metric import BaseMetric
from espnet3.errors import ConfigError, DataError, SettingError
from espnet3.parallel.settings import ParallelSettings
from espnet3.systems.base.inference_state import is_unfinished
from espnet3.systems.base.score_columns import load_columns
from espnet3.systems.base.score_coverage import (
    describe_gap,
    find_undecoded,
    read_coverage,
    refuse_incomplete,
)
from espnet3.systems.base.score_table import describe_blocks, format_report
from espnet3.systems.base.scoring_job import Outcome, ScoringJob, with_full_key
from espnet3.systems.base.settings import MeasureSettings, MetricSettings
from espnet3.utils.config_utils import instantiate_config
from espnet3.utils.path_utils import write_json, write_text
from espnet3.utils.redaction import redact_config
from espnet3.utils.scp_utils import get_class_path, load_scp_paths
from espnet3.utils.settings import parse_settings

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
        ConfigError: If there are no test sets, a metric has no inputs, or there is no metric where
            scores would be lost.
        TypeError: If a configured object is no metric.
        ScpError: If an input file is missing or two of them do not fit together.
        DataError: If a test set is incomplete and ``allow_incomplete`` is not set.
    """
    settings = parse_settings(metrics_config, MeasureSettings, key="")
    entries = [_build(entry, index) for index, entry in enumerate(settings.metrics or ())]
    named = _name_entries(entries)
    folder = settings.inference_dir
    test_names = settings.test_names() or _find_test_sets(folder)
    undecoded = find_undecoded(folder, test_names)
    if undecoded and (not settings.allow_incomplete or len(undecoded) == len(test_names)):
        refuse_incomplete(undecoded)
    jobs = _plan(settings, named, [name for name in test_names if name not in undecoded])
    coverage = _cover(settings, jobs) | undecoded
    scores: dict[str, Any] = {}
    details: dict[str, Any] = {}
    if settings.merge or not named:
        scores = _read_earlier(folder / "metrics.json")
    if scores and not settings.merge and not named:
        raise SettingError(
            f"lists no metric, which would replace the scores in {folder / 'metrics.json'}",
            key="metrics",
            hint="list one, set `merge: true` to keep them, or remove that file",
        )
    if settings.merge:
        details = _read_earlier(folder / "metrics_details.json").get("metrics", {})
    scores |= {key: {} for key in named}
    details |= {key: {} for key in named}
    for job, outcome in zip(jobs, _run(jobs, settings.parallel), strict=True):
        scores[job.key][job.test_name], details[job.key][job.test_name] = outcome
    _write(folder, scores, details, coverage)
    return scores


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Entry:
    """A metric that is ready to run."""

    key: str
    """Such as ``metrics[0]``."""
    metric: BaseMetric
    name: str | None
    inputs: Sequence[str] | Mapping[str, str]


def _build(entry: MetricSettings, index: int) -> _Entry:
    key = f"metrics[{index}]"
    try:
        metric = instantiate_config(entry.metric, key=f"{key}.metric")
    except ConfigError as error:
        raise with_full_key(error, key) from error
    path = get_class_path(metric)
    if not isinstance(metric, BaseMetric):
        raise TypeError(f"{key}.metric: {path} is not a valid BaseMetric instance")
    arguments = {k: v for k, v in entry.metric.items() if k[0] != "_"}
    logger.info("Metric: %s %s", path, redact_config(arguments))
    inputs: Sequence[str] | Mapping[str, str] | None = entry.inputs
    if inputs is None:
        if not (hasattr(metric, "ref_key") and hasattr(metric, "hyp_key")):
            raise ConfigError(f"{path} requires inputs in config", key=f"{key}.inputs")
        inputs = [metric.ref_key, metric.hyp_key]
    return _Entry(key=key, metric=metric, name=entry.name, inputs=inputs)


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
        _separate_files(entry, {other.metric.stem for other in named.values()})
        named[key] = entry
    return named


def _separate_files(entry: _Entry, taken: Collection[str]) -> None:
    """Let the files of metrics with the same stem have different names."""
    metric = entry.metric
    stem, number = metric.stem, 1
    if entry.name and stem in taken:
        metric.stem = f"{stem}_" + re.sub(r"\W+", "_", entry.name)
    while stem and metric.stem in taken:
        number += 1
        metric.stem = f"{stem}_{number}"


def _find_test_sets(folder: Path) -> list[str]:
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    names = [
        child.name
        for child in children
        if child.is_dir()
        and not child.name.startswith(".")
        and (any(child.glob("*.scp")) or is_unfinished(child))
    ]
    if not names:
        raise ConfigError(
            f"No test sets found in {folder}",
            key="inference_dir",
            hint="run the stage `infer` first, or correct `inference_dir`",
        )
    return names


def _plan(
    settings: MeasureSettings, named: Mapping[str, _Entry], test_names: Sequence[str]
) -> list[ScoringJob]:
    """Return what is to be scored; everything that is read is looked up first."""
    folder = settings.inference_dir
    inputs = {
        (key, test_name): load_scp_paths(folder, test_name, entry.inputs)
        for key, entry in named.items()
        for test_name in test_names
    }
    columns = {
        name: load_columns(settings.columns(), folder / name, settings.metadata_of(name))
        for name in test_names
    }
    baseline = None
    if settings.compare_with is not None:
        from espnet3.systems.base.score_comparison import EarlierRun

        baseline = EarlierRun.load(settings.compare_with, folder, inputs)
    return [
        ScoringJob(
            key=key,
            config_key=named[key].key,
            test_name=test_name,
            metric=named[key].metric,
            inputs=paths,
            settings=settings,
            columns=columns[test_name],
            baseline=baseline,
        )
        for (key, test_name), paths in inputs.items()
    ]


def _run(jobs: Sequence[ScoringJob], parallel: ParallelSettings) -> list[Outcome]:
    if parallel.is_in_process or len(jobs) < 2:
        return [job.run() for job in jobs]
    from espnet3.parallel.parallel import parallel_map, preserve_parallel_config, set_parallel

    with preserve_parallel_config():
        set_parallel(OmegaConf.create(dataclasses.asdict(parallel)))
        return parallel_map(ScoringJob.run, jobs)


def _cover(settings: MeasureSettings, jobs: Sequence[ScoringJob]) -> dict[str, Any]:
    files: dict[str, set[Path]] = {}
    for job in jobs:
        files.setdefault(job.test_name, set()).update(job.inputs.values())
    coverage = {
        name: read_coverage(settings.inference_dir / name, paths) for name, paths in files.items()
    }
    if not settings.allow_incomplete:
        refuse_incomplete(coverage)
    return coverage


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
    gaps = {name: describe_gap(counts) for name, counts in coverage.items()}
    notes = [f"Incomplete test set `{name}`: {gap}.\n" for name, gap in gaps.items() if gap]
    notes += (f"{note}.\n" for note in describe_blocks(details))
    table = "\n".join([format_report(scores, details), *notes])
    write_text(folder / "metrics.md", table)
    logger.info("Scores in %s:\n%s", folder / "metrics.json", table)
