"""One metric on one test set: its scores, and what can be said about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from espnet3.components.metrics.base_metric import BaseMetric
from espnet3.errors import ConfigError, DataError
from espnet3.systems.base.score_columns import Column
from espnet3.systems.base.settings import ConfidenceSettings, MeasureSettings
from espnet3.utils.writer_utils import to_scalar

if TYPE_CHECKING:
    from espnet3.systems.base.score_comparison import EarlierRun


Outcome: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
"""Scores by name, and the details of them."""


def with_full_key(error: ConfigError, config_key: str) -> ConfigError:
    """Return an error of a metric, which knows its own arguments only, with the key in the file.

    Args:
        error: What the metric raised.
        config_key: Key of its entry, such as ``metrics[0]``.
    """
    name = error.key or ""
    if not name or name.startswith((config_key, "confidence", "breakdown", "compare_with")):
        return error
    section = "" if name == "inputs" else ".metric"
    return error.at(error.file, error.line, key=f"{config_key}{section}.{name}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoringJob:
    """What a metric needs to score one test set; it can travel to another process."""

    key: str
    """Key of the scores in metrics.json."""
    config_key: str
    """Key of the metric in metrics.yaml."""
    test_name: str
    metric: BaseMetric
    inputs: Mapping[str, Path]
    """SCP file of each input, by alias."""
    settings: MeasureSettings
    columns: Mapping[str, Column]
    """Values of the utterances of this test set, by column."""
    baseline: EarlierRun | None

    def run(self) -> Outcome:
        """Return scores by name, and the details of them."""
        folder = self.settings.inference_dir
        try:
            result = self.metric(dict(self.inputs), self.test_name, folder)
            details = dict(self.metric.details)
            if "utterances_file" in details:
                records = folder / self.test_name / details["utterances_file"]
                details |= self._analyze(records, details)
        except ConfigError as error:
            raise with_full_key(error, self.config_key) from error
        except DataError as error:
            error.add_note(f"  while scoring test set {self.test_name!r} with {self.config_key}")
            table = self.settings.metadata_of(self.test_name)
            if table is not None:
                error.add_note(f"  the table of its columns is {table}")
            raise
        return {name: to_scalar(value) for name, value in result.items()}, details

    def _analyze(self, records: Path, details: Mapping[str, Any]) -> dict[str, Any]:
        # numpy stays out of what `run.py --help` loads.
        from espnet3.systems.base.score_analysis import ScoreCounts, break_down, estimate_interval
        from espnet3.systems.base.score_comparison import compare_scores

        settings = self.settings
        counts = ScoreCounts.read(records)
        found: dict[str, Any] = {
            "confidence": settings.confidence
            and estimate_interval(counts, settings.confidence, self.columns)
        }
        if settings.breakdown:
            found["breakdown"] = {
                name: break_down(counts, name, self.columns, settings.confidence)
                for name in settings.breakdown
            }
        earlier = self.baseline and self.baseline.find_records(self.key, self.test_name)
        if self.baseline and earlier:
            self.baseline.check_same_scoring(self.key, self.test_name, details)
            compared = compare_scores(
                records,
                earlier,
                settings=settings.confidence or ConfidenceSettings(),
                columns=self.columns,
                allow_incomplete=settings.allow_incomplete,
            )
            found["comparison"] = {"with": str(self.baseline.folder), **compared}
        return found
