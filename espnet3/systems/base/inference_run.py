"""Decode one test set, from its data set to its SCP files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet3.components.inference.batching import Batch, padding_waste, plan_batches
from espnet3.components.inference.records import as_names, iter_records
from espnet3.components.inference.settings import choose_mode
from espnet3.errors import InferenceError
from espnet3.systems.base.inference_engine import Outcome
from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_progress import Progress, find_sample_rate
from espnet3.systems.base.inference_report import REPORT_FILE, InferenceReport
from espnet3.systems.base.inference_runner import InferenceRunner
from espnet3.systems.base.inference_state import FinishedRun, discard
from espnet3.systems.base.inference_workers import DecodeJob, Workforce
from espnet3.systems.base.inference_writer import RecordWriter
from espnet3.systems.base.settings import InferenceSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """One test set on its way to disk."""

    __test__ = False

    name: str
    folder: Path
    num_samples: int
    parts: Mapping[str, str]
    """Digests of what the outputs depend on."""
    dataset: Any
    provider: Any
    runner: Any

    @property
    def works_by_index(self) -> bool:
        """Whether batches can go to ``forward`` one by one, because the runner is called so."""
        is_stock = type(self.runner).__call__ is InferenceRunner.__call__
        return is_stock and self.runner.output_dir is None


def decode_test_set(test_set: TestSet, settings: InferenceSettings, workforce: Workforce) -> None:
    """Decode what an earlier, interrupted run has not, then write SCP files and the report.

    Raises:
        InferenceError: If there is no result, or more samples fail than may.
        Exception: With ``on_error: raise``, what the first failing sample raised.
    """
    discard(test_set.folder)
    journal = Journal(
        test_set.folder,
        num_samples=test_set.num_samples,
        parts=test_set.parts,
        keeps_earlier=settings.reuses_finished_run and test_set.works_by_index,
        fields=settings.output_fields(),
    )
    with journal, Progress(test_set.name, test_set.num_samples, journal.count) as progress:
        report = InferenceReport(
            test_set=test_set.name,
            num_samples=test_set.num_samples,
            num_resumed=journal.count,
            num_workers=workforce.num_workers,
        )
        logger.info(
            "Test set %s: samples=%d workers=%d",
            test_set.name,
            journal.num_missing,
            workforce.num_workers,
        )
        outcomes = _decode(test_set, settings, workforce, journal, report)
        try:
            _collect(outcomes, settings, journal, report, progress)
        finally:
            report.num_done, report.seconds = journal.count, progress.seconds
            report.worker_deaths = workforce.deaths
            report.write(test_set.folder)
        _finish(test_set, settings, journal, report)
    logger.info("Test set %s: %s", test_set.name, progress.summary())


def _decode(
    test_set: TestSet,
    settings: InferenceSettings,
    workforce: Workforce,
    journal: Journal,
    report: InferenceReport,
) -> Generator[Outcome, None, None]:
    job = DecodeJob(
        runner_cls=type(test_set.runner),
        folder=test_set.folder,
        idx_key=test_set.runner.idx_key,
        fields=tuple(settings.output_fields()),
        artifacts=settings.output_artifacts,
        settings=settings.execution,
        sample_rate=find_sample_rate(test_set.dataset),
    )
    if not test_set.works_by_index:
        return _decode_as_one(test_set, job)
    batches = _plan(test_set, settings, report)
    # A batch is decoded as a whole or not at all: who shares it must not depend on the past.
    missing = [b for b in batches if not all(journal.is_done(i) for i in b.indices)]
    if not journal.fields:
        missing.sort(key=lambda batch: 0 not in batch.indices)
    return workforce.decode(job, test_set.provider, missing, journal.fields)


def _plan(test_set: TestSet, settings: InferenceSettings, report: InferenceReport) -> list[Batch]:
    batching = settings.execution.batching
    lengths = None
    if choose_mode(batching, settings.batch_size) == "dynamic":
        lengths = _measure_lengths(test_set.dataset, as_names(settings.input_key)[0])
    batches = plan_batches(
        test_set.num_samples, batching, batch_size=settings.batch_size, lengths=lengths
    )
    if lengths is not None:
        report.padding_waste = round(padding_waste(batches, lengths), 4)
        logger.info("Batches: count=%d padding=%.1f%%", len(batches), 100 * report.padding_waste)
    return batches


def _measure_lengths(dataset: Any, key: str) -> list[float]:
    """Ask the data set for lengths; one that cannot tell is read once."""
    with contextlib.suppress(AttributeError, RuntimeError):
        return [float(dataset.get_length(index)) for index in range(len(dataset))]
    logger.info("The data set has no get_length; every sample is read once to learn its length")
    return [float(len(dataset[index][key])) for index in range(len(dataset))]


def _decode_as_one(test_set: TestSet, job: DecodeJob) -> Generator[Outcome, None, None]:
    """Let a runner that wants all indices at once do the work; take its records."""
    results = test_set.runner(list(range(test_set.num_samples)))
    if results is None:
        raise InferenceError(
            "the runner returned None. Async inference is not supported by the infer stage"
        )
    writer = RecordWriter(
        job.folder, idx_key=job.idx_key, fields=job.fields, artifacts=job.artifacts
    )
    for index, record in enumerate(iter_records(results)):
        if index == 0:
            test_set.runner.resolve_idx_key(record)
        sample = writer.write(index, [record])
        artifacts = set(writer.artifact_fields)
        yield Outcome([sample], audio_seconds=None, fields=writer.fields, artifact_fields=artifacts)


def _collect(
    outcomes: Generator[Outcome, None, None],
    settings: InferenceSettings,
    journal: Journal,
    report: InferenceReport,
    progress: Progress,
) -> None:
    num_joined = 0
    with contextlib.closing(outcomes) as stream:
        for outcome in stream:
            journal.set_fields(outcome.fields, outcome.artifact_fields)
            count = sum(journal.add(sample) for sample in outcome.samples)
            journal.flush()
            report.add(outcome)
            num_joined += outcome.num_joined
            progress.advance(
                count, failed=len(outcome.failures), audio_seconds=outcome.audio_seconds
            )
            if outcome.failures:
                _check_failures(settings, report)
    if num_joined:
        logger.warning("%d values had line breaks, replaced by spaces", num_joined)


def _check_failures(settings: InferenceSettings, report: InferenceReport) -> None:
    failed = len(report.failures)
    if settings.execution.allows_failures(failed, report.num_samples):
        return
    error = report.failures[0].as_error()
    if settings.execution.on_error == "raise":
        raise error
    raise InferenceError(
        f"{failed} of {report.num_samples} samples failed, more than execution.max_failures "
        f"allows; {REPORT_FILE} lists them"
    ) from error


def _finish(
    test_set: TestSet, settings: InferenceSettings, journal: Journal, report: InferenceReport
) -> None:
    if not journal.num_records:
        raise InferenceError(f"the runner returned no result for test set {test_set.name!r}")
    journal.write_scps()
    run = FinishedRun.of(
        test_set.folder,
        fields=journal.fields,
        artifact_fields=sorted(journal.artifact_fields),
        num_records=journal.num_records,
        num_samples=test_set.num_samples,
        num_failed=len(report.failures),
        seconds=round(report.seconds, 3),
        parts=test_set.parts,
    )
    run.save(test_set.folder)
    if not report.failures and not settings.execution.keep_journal:
        journal.remove()
    if journal.num_records < test_set.num_samples:
        logger.warning(
            "Only %d of %d samples have a result", journal.num_records, test_set.num_samples
        )
