"""Is a run better than an earlier one? Tests on the utterances that both have scored."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet3.components.metrics.error_segments import iter_error_segments
from espnet3.components.metrics.significance import (
    matched_pairs,
    paired_bootstrap,
    sum_by_block,
)
from espnet3.components.metrics.utterance_records import (
    EditSpan,
    UtteranceRecord,
    read_records,
)
from espnet3.errors import ConfigError, DataError, SettingError
from espnet3.systems.base.score_analysis import describe_interval
from espnet3.systems.base.score_columns import Column, values_of
from espnet3.systems.base.settings import ConfidenceSettings
from espnet3.utils.types import UttId

logger = logging.getLogger(__name__)

_SHOWN_IDS = 5
_KEY = "compare_with"
_MUST_AGREE = ("unit", "normalizer", "empty_token")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """What ``measure`` left in the folder of another run."""

    folder: Path
    details: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """Metric → test set → what its score was made of."""

    @classmethod
    def load(
        cls, folder: Path, own_folder: Path, wanted: Collection[tuple[str, str]]
    ) -> EarlierRun:
        """Read the details of the scores of an earlier run.

        Args:
            folder: Its ``inference_dir``.
            own_folder: The ``inference_dir`` of this run.
            wanted: Metric and test set of each score that is going to be compared.

        Raises:
            ConfigError: If it is this run, was not measured, or has none of the scores.
        """
        if folder.resolve() == own_folder.resolve():
            raise SettingError("is this run itself", key=_KEY, value=str(folder))
        path = folder / "metrics_details.json"
        try:
            details = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                "has no metrics_details.json",
                key=_KEY,
                value=str(folder),
                hint="name the `inference_dir` of a run, and run the stage `measure` on it first",
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                "metrics_details.json cannot be read; run the stage `measure` on it again",
                key=_KEY,
                value=str(folder),
            ) from error
        run = cls(folder=folder, details=details)
        absent = [pair for pair in wanted if run.find_records(*pair) is None]
        if len(absent) == len(wanted):
            has = ", ".join(f"{m} on {t}" for m, tests in details.items() for t in tests)
            raise ConfigError(
                "has no score in common with this run",
                key=_KEY,
                value=str(folder),
                hint=f"it has: {has or 'none'}",
            )
        for metric, test_name in absent:
            logger.warning("%s has no %s on %s to compare with", folder, metric, test_name)
        return run

    def find_records(self, metric: str, test_name: str) -> Path | None:
        """Return the file with the utterances of a score, ``None`` if there is none."""
        name = self.details.get(metric, {}).get(test_name, {}).get("utterances_file")
        path = self.folder / test_name / str(name)
        return path if name is not None and path.is_file() else None

    def check_same_scoring(self, metric: str, test_name: str, details: Mapping[str, Any]) -> None:
        """Raise unless texts were compared in the same way.

        Raises:
            DataError: If normaliser, unit or the like differ.
        """
        theirs = self.details[metric][test_name]
        for name in _MUST_AGREE:
            if theirs.get(name) != details.get(name):
                raise DataError(
                    f"{metric} on {test_name}: {self.folder} was scored with {name} "
                    f"{theirs.get(name)}, this run with {details.get(name)}\n"
                    f"  give both the same {name}, and run the stage `measure` again on the run "
                    "whose settings change"
                )


def compare_scores(
    records: Path,
    baseline: Path,
    *,
    settings: ConfidenceSettings,
    columns: Mapping[str, Column],
    allow_incomplete: bool = False,
) -> dict[str, Any]:
    """Compare two runs on the same utterances.

    Args:
        records: Per-utterance results of this run.
        baseline: Those of the earlier run, in any order.
        settings: How to resample.
        columns: Values by column; has ``settings.block_by`` if that is set.
        allow_incomplete: Compare what both have, if some utterances are missing on one side.

    Returns:
        JSON; rates and their difference in percent, negative where this run is better.

    Raises:
        DataError: If utterances or references differ.
    """
    theirs = {r.utt_id: _summarize(r) for r in read_records(baseline)}
    pairs = _Pairs()
    alone: list[UttId] = []
    for record in read_records(records):
        other = theirs.pop(record.utt_id, None)
        if other is None:
            alone.append(record.utt_id)
        else:
            pairs.add(record.utt_id, _summarize(record), other, baseline)
    if (alone or theirs) and not (allow_incomplete and pairs.utt_ids):
        raise DataError(
            f"{records} and {baseline} hold different utterances: {_list_ids(alone)} only in the "
            f"former, {_list_ids(list(theirs))} only in the latter\n"
            "  `allow_incomplete: true` compares those that both have"
        )
    return _test(pairs, settings, columns)


@dataclasses.dataclass(frozen=True, slots=True)
class _Summary:
    """A record without its texts, of which a large test set has too many to keep."""

    errors: int
    reference_length: int
    edits: Sequence[EditSpan]
    ref_hash: int


def _summarize(record: UtteranceRecord) -> _Summary:
    ref = record.ref if isinstance(record.ref, str) else tuple(record.ref)
    return _Summary(record.errors, record.reference_length, record.edits, hash(ref))


class _Pairs:
    """Counts of utterances and segments that two runs share."""

    def __init__(self) -> None:
        self.utt_ids: list[UttId] = []
        self.counts: list[tuple[int, int, int]] = []
        """Errors, errors of the baseline and reference tokens, per utterance."""
        self.segments: list[int] = []
        """Errors minus errors of the baseline, per segment."""

    def add(self, utt_id: UttId, ours: _Summary, theirs: _Summary, baseline: Path) -> None:
        if (ours.ref_hash, ours.reference_length) != (theirs.ref_hash, theirs.reference_length):
            raise DataError(
                f"the reference of {utt_id!r} is not the one in {baseline}\n"
                "  measure both runs with the same references to compare them"
            )
        self.utt_ids.append(utt_id)
        self.counts.append((ours.errors, theirs.errors, ours.reference_length))
        self.segments.extend(a - b for a, b in iter_error_segments(ours.edits, theirs.edits))


def _test(
    pairs: _Pairs, settings: ConfidenceSettings, columns: Mapping[str, Column]
) -> dict[str, Any]:
    errors, baseline_errors, lengths = np.array(pairs.counts, dtype=np.int64).T
    total = int(lengths.sum())
    rates = [100 * int(column.sum()) / total for column in (errors, baseline_errors)]
    if settings.block_by is not None:
        blocks = values_of(columns, settings.block_by, pairs.utt_ids)
        errors, baseline_errors, lengths = sum_by_block(blocks, errors, baseline_errors, lengths)
    boot = paired_bootstrap(
        errors,
        baseline_errors,
        lengths,
        level=settings.level,
        replicates=settings.replicates,
        seed=settings.seed,
    )
    return {
        "utterances": len(pairs.utt_ids),
        "score": round(rates[0], 2),
        "baseline_score": round(rates[1], 2),
        "difference": round(rates[0] - rates[1], 3),
        "paired_bootstrap": {
            **describe_interval(boot.interval),
            "probability_of_improvement": round(boot.probability_of_improvement, 4),
            "p_value": boot.p_value,
        },
        "matched_pairs": dataclasses.asdict(matched_pairs(pairs.segments)),
    }


def _list_ids(ids: list[UttId]) -> str:
    shown = ", ".join(ids[:_SHOWN_IDS])
    return f"{len(ids)} ({shown})" if ids else "0"
