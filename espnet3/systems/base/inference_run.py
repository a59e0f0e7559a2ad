"""Decode one test set: from its data set to its SCP files."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Generator

from espnet3.components.inference.batching import Batch
from espnet3.components.inference.records import as_names, iter_records
from espnet3.components.inference.settings import choose_mode
from espnet3.errors import InferenceError
from espnet3.systems.base.inference_batches import BatchPlan
from espnet3.systems.base.inference_failures import FailureList
from espnet3.systems.base.inference_ids import check_stated_ids
from espnet3.systems.base.inference_job import DecodeJob
from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_outcome import Outcome
from espnet3.systems.base.inference_progress import Progress, find_sample_rate
from espnet3.systems.base.inference_rebuild import rebuild_journal
from espnet3.systems.base.inference_remarks import Remarks
from espnet3.systems.base.inference_report import REPORT_FILE, InferenceReport
from espnet3.systems.base.inference_samples import find_id
from espnet3.systems.base.inference_state import STATE_DIR, FinishedRun, discard
from espnet3.systems.base.inference_test_set import TestSet
from espnet3.systems.base.inference_verify import choose_samples, decode_alone
from espnet3.systems.base.inference_workers import Workforce
from espnet3.systems.base.settings import InferenceSettings
from espnet3.utils.stop_signals import StageInterrupted, deferred_stop, end_if_asked
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)

_GRACE: Seconds = 10.0


def decode_test_set(test_set: TestSet, settings: InferenceSettings, workforce: Workforce) -> None:
    """Decode what an earlier, interrupted run has not, then write SCP files and the report.

    Raises:
        InferenceError: If there is no result, or more samples fail than may.
        StageInterrupted: After a signal to stop; what was finished by then stays finished.
        Exception: With ``on_error: raise``, what the first failing sample raised.
    """
    if test_set.keeps_earlier(settings):
        rebuild_journal(test_set.folder, test_set.parts)
    discard(test_set.folder)
    wanted = min(test_set.num_samples, settings.execution.limit or test_set.num_samples)
    check_stated_ids(test_set.dataset, wanted, settings)
    journal = Journal(
        test_set.folder,
        num_samples=wanted,
        parts=test_set.parts,
        keeps_earlier=test_set.keeps_earlier(settings),
        fields=settings.output_fields(),
    )
    with journal, FailureList(test_set.folder) as failures:
        _Run(test_set, settings, workforce, journal, failures, wanted).decode()


class _Run:
    """The parts that decode one test set together."""

    def __init__(
        self,
        test_set: TestSet,
        settings: InferenceSettings,
        workforce: Workforce,
        journal: Journal,
        failures: FailureList,
        num_wanted: int,
    ) -> None:
        self.test_set = test_set
        self.settings = settings
        self.workforce = workforce
        self.journal = journal
        self.failures = failures
        self.num_wanted = num_wanted
        self.report = InferenceReport(
            test_set=test_set.name,
            num_samples=test_set.num_samples,
            num_resumed=journal.count,
            num_workers=workforce.num_workers,
            parts=test_set.parts,
        )
        self.job = DecodeJob(
            runner_cls=type(test_set.runner),
            folder=test_set.folder,
            idx_key=test_set.runner.idx_key,
            fields=tuple(settings.output_fields()),
            artifacts=settings.output_artifacts,
            settings=settings.execution,
            sample_rate=settings.execution.sample_rate or find_sample_rate(test_set.dataset),
        )

        self.plan = BatchPlan(
            settings.execution.batching,
            batch_size=settings.batch_size,
            key=as_names(settings.input_key)[0],
            folder=test_set.folder / STATE_DIR,
            parts=test_set.parts,
            training_config=settings.training_config,
        )

    def decode(self) -> None:
        name, num_workers = self.test_set.name, self.workforce.num_workers
        missing = self.journal.num_missing
        logger.info("Test set %s: samples=%d workers=%d", name, missing, num_workers)
        progress = Progress(
            name,
            self.num_wanted,
            self.journal.count,
            num_workers=num_workers,
            style=self.settings.execution.progress,
        )
        with progress:
            try:
                with deferred_stop(interrupts=True, grace=_GRACE):
                    self._collect(self._outcomes(progress), progress)
                end_if_asked()
                self._verify()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt | StageInterrupted | OSError):
                    error.add_note(self._how_far())
                # A full disk must not hide what ended the run.
                with contextlib.suppress(OSError):
                    self._write_report(progress)
                raise
            self._write_report(progress)
            self._finish()
        logger.info("Test set %s: %s", name, progress.summary())

    def _write_report(self, progress: Progress) -> None:
        self.report.num_done, self.report.seconds = self.journal.count, progress.seconds
        self.report.worker_deaths = self.workforce.deaths
        if self.test_set.works_by_index:
            self.report.max_cost = self.plan.max_cost
            self.report.padding_waste = self.plan.padding_waste
            self.report.batching = self.plan.limits()
        self.report.write(self.test_set.folder)

    def _how_far(self) -> str:
        goes_on = self.test_set.keeps_earlier(self.settings)
        rest = "; the same command goes on from there" if goes_on else ""
        counts = f"{self.journal.count} of {self.num_wanted}"
        return f"test set {self.test_set.name}: {counts} utterances are done{rest}"

    def _outcomes(self, progress: Progress) -> Generator[Outcome, None, None]:
        if not self.test_set.works_by_index:
            yield from self._decode_as_one()
            return
        provider, fields = self.test_set.provider, self.journal.fields
        with contextlib.closing(self._portions(progress)) as portions:
            yield from self.workforce.decode(self.job, provider, portions, fields)

    def _portions(self, progress: Progress) -> Generator[list[Batch], None, None]:
        """Yield what is to be decoded; the progress learns how much that is."""
        journal, test_set, workforce = self.journal, self.test_set, self.workforce
        portions = self.plan.make(
            test_set.dataset,
            self.num_wanted,
            find_capacity=lambda i: workforce.find_capacity(self.job, test_set.provider, i),
            open_reader=lambda key: workforce.open_reader(
                self.job, test_set.provider, test_set.dataset, key
            ),
            is_done=journal.is_done if journal.count else None,
        )
        cost, num_planned, num_missing = 0.0, 0, journal.num_missing
        with contextlib.closing(portions):
            for batches in portions:
                if not journal.fields:
                    batches.sort(key=lambda batch: 0 not in batch.indices)
                cost += sum(batch.cost for batch in batches)
                num_planned += sum(len(batch.indices) for batch in batches)
                progress.cost = cost * max(1.0, num_missing / max(num_planned, 1))
                yield batches

    def _decode_as_one(self) -> Generator[Outcome, None, None]:
        """Let a runner that wants all indices at once do the work; take its records."""
        runner = self.test_set.runner
        started = time.perf_counter()
        results = runner(list(range(self.num_wanted)))
        seconds = time.perf_counter() - started
        if results is None:
            raise InferenceError(
                "the runner returned None. Async inference is not supported by the infer stage"
            )
        writer = self.job.build_writer()
        for index, record in enumerate(iter_records(results)):
            if index == 0:
                runner.resolve_idx_key(record)
            sample = writer.write(index, [record])
            yield Outcome(
                [sample],
                audio_seconds=None,
                fields=writer.fields,
                artifact_fields=set(writer.artifact_fields),
                remarks=writer.remarks,
                compute_seconds=seconds if index == 0 else 0.0,
            )
            writer.remarks = Remarks()

    def _collect(self, outcomes: Generator[Outcome, None, None], progress: Progress) -> None:
        remarks = Remarks()
        with contextlib.closing(outcomes) as stream:
            for outcome in stream:
                self.journal.set_fields(outcome.fields, outcome.artifact_fields)
                count = self.journal.add_all(outcome.samples)
                outcome.failures += self.journal.take_clashes()
                for failure in outcome.failures:
                    known = failure.sample_id
                    failure.sample_id = known or find_id(self.test_set.dataset, failure.index)
                self.report.add(outcome, count)
                self.failures.add(outcome.failures)
                remarks.add(outcome.remarks)
                progress.advance(count, outcome)
                if outcome.failures:
                    self._check_failures()
        remarks.log(self.test_set.name, self.settings.output_artifacts or {})

    def _check_failures(self) -> None:
        failed, execution = len(self.report.failures), self.settings.execution
        if execution.allows_failures(failed, self.num_wanted):
            return
        error = self.report.failures[0].as_error()
        if execution.on_error == "raise":
            raise error
        raise InferenceError(
            f"{failed} of {self.num_wanted} samples failed, more than execution.max_failures "
            f"allows; {REPORT_FILE} lists them"
        ) from error

    def _verify(self) -> None:
        """Decode some samples alone and report which of them come out differently then."""
        execution = self.settings.execution
        if not execution.verify or not self.test_set.works_by_index:
            return
        self.report.verified = decode_alone(
            choose_samples(self.journal, self.num_wanted, execution.verify),
            self.workforce,
            self.job,
            self.test_set.provider,
            self.journal,
            is_list=choose_mode(execution.batching, self.settings.batch_size) != "single",
        )

    def _finish(self) -> None:
        test_set, journal = self.test_set, self.journal
        if not journal.num_records:
            raise InferenceError(f"the runner returned no result for test set {test_set.name!r}")
        journal.write_scps()
        run = FinishedRun.of(
            test_set.folder,
            fields=journal.fields,
            artifact_fields=sorted(journal.artifact_fields),
            num_records=journal.num_records,
            num_samples=test_set.num_samples,
            num_failed=len(self.report.failures),
            num_left=test_set.num_samples - self.num_wanted,
            has_one_each=journal.has_one_each,
            seconds=round(self.report.seconds, 3),
            parts=test_set.parts,
        )
        run.save(test_set.folder)
        self.plan.save(test_set.num_samples)
        is_whole = not run.num_failed and not run.num_left
        if is_whole and not self.settings.execution.keep_journal:
            journal.remove()
        if journal.num_records < test_set.num_samples:
            logger.warning(
                "Only %d of %d samples have a result", journal.num_records, test_set.num_samples
            )
