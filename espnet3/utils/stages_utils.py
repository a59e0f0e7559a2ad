"""Select stages and run them, one log file each."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from espnet3.errors import ConfigError, StageError
from espnet3.utils.config_sources import flat_key, locate
from espnet3.utils.device_utils import process_rank
from espnet3.utils.env_report import FILE_ONLY
from espnet3.utils.logging_utils import log_stage, log_stage_metadata, set_stage_log_handler
from espnet3.utils.stage_logs import log_dir_of, open_stage_log
from espnet3.utils.stage_ranks import (
    check_launched_ranks,
    gate_of,
    published_stage,
    runs_on_this_rank,
)
from espnet3.utils.stage_report import StageReport, filled_slots, format_summary
from espnet3.utils.stage_selection import UnknownStageError, resolve_stages
from espnet3.utils.stage_table import stage_entry
from espnet3.utils.stop_signals import StageInterrupted, end_if_asked, stop_signals

logger = logging.getLogger(__name__)


class StageMethodError(StageError, AttributeError):
    """The system has no method for a requested stage."""


class StageSignatureError(StageError, TypeError):
    """A stage method cannot be run by a call without arguments."""


def run_stages(
    system: Any,
    stages_to_run: Sequence[str] | str,
    args: Any = None,
    log: logging.Logger | None = None,
) -> None:
    """Call stage methods of a system in the order given.

    Every stage is checked before the first one runs. Each stage writes its own log, with the
    traceback if it fails; the stages after a failed one do not run.

    Args:
        system: Object with one zero-argument method per stage and, if it wants log files, a
            mapping ``stage_log_dirs`` from stage (or ``default``) to folder.
        stages_to_run: Names of the stages; a text is one stage.
        args: Parsed command line; ``dry_run``, ``write_requirements`` and the configuration paths
            are read where they exist.
        log: Logger for the progress lines.

    Raises:
        StageMethodError: If the system lacks a stage; also an ``AttributeError``.
        StageSignatureError: If a stage cannot be called without arguments, or a call would not
            run it; also a ``TypeError``.
        Exception: What a stage raises, unchanged.

    Example:
        >>> class Greeting:
        ...     stage_log_dirs = {"default": None}
        ...     def greet(self):
        ...         print("hello")
        >>> run_stages(Greeting(), ["greet"])
        hello
    """
    log = log or logger
    stages_to_run = [stages_to_run] if isinstance(stages_to_run, str) else stages_to_run
    methods = {stage: _stage_method(system, stage) for stage in stages_to_run}
    if getattr(args, "dry_run", False):
        from espnet3.utils.run_plan import log_run_plan

        for stage in stages_to_run:
            folder = log_dir_of(system, stage)
            log.info("[DRY RUN] would run stage: %s (log folder: %s)", stage, folder)
        log_run_plan(system, stages_to_run, log)
        return
    check_launched_ranks(system, stages_to_run)
    reports: list[StageReport] = []
    try:
        with stop_signals(), gate_of(system, stages_to_run) as gate:
            for stage in stages_to_run:
                end_if_asked()
                if runs_on_this_rank(system, stage, log):
                    gate.enter(stage)
                    _run_stage(system, stage, methods[stage], args, log, reports)
    finally:
        if reports:
            log.info("stages:\n%s", format_summary(reports, stages_to_run))


def _stage_method(system: Any, stage: str) -> Callable[[], Any]:
    method = getattr(system, stage, None)
    if not callable(method):
        known = [n for n in dir(type(system)) if not n.startswith("_")]
        methods = [n for n in known if callable(getattr(type(system), n))]
        raise StageMethodError(
            f"System has no stage method: {stage}\n"
            f"  {type(system).__qualname__} has: {', '.join(methods)}"
        )
    if inspect.isgeneratorfunction(method) or inspect.iscoroutinefunction(method):
        raise StageSignatureError(
            f"Stage '{stage}' of {type(system).__qualname__} would do nothing when it is called: "
            "its method contains `yield` or is `async`"
        )
    try:
        inspect.signature(method).bind()
    except TypeError as error:
        raise StageSignatureError(
            f"Stage '{stage}' does not accept CLI arguments, but {type(system).__qualname__}."
            f"{stage} asks for some ({error}); put all settings in the YAML config"
        ) from None
    except ValueError:  # a builtin without a readable signature
        pass
    return method  # type: ignore[no-any-return]


def _run_stage(
    system: Any,
    stage: str,
    method: Callable[[], Any],
    args: Any,
    log: logging.Logger,
    reports: list[StageReport],
) -> None:
    with log_stage(stage), published_stage(system, stage):
        log_path = open_stage_log(system, stage, log)
        report = StageReport(stage, system, log_path if process_rank() == 0 else None)
        reports.append(report)
        try:
            log_stage_metadata(log, system, args, stage=stage)
            report.start()
            log.info("=== [START] stage: %s ===", stage)
            method()
            report.finish("done")
            log.info("=== [%s] stage: %s (%.1fs) ===", report.status.upper(), stage, report.seconds)
        except BaseException as error:
            _note_place(error, system, stage)
            _report_failure(report, error, log)
            raise
        finally:
            set_stage_log_handler(None, "")


def _note_place(error: BaseException, system: Any, stage: str) -> None:
    """Say where a configured value stands that an error names by its key alone."""
    if not isinstance(error, ConfigError) or error.file is not None or not error.key:
        return
    slots, section = filled_slots(system), flat_key(error.key).partition(".")[0]
    for slot in dict.fromkeys([*stage_entry(stage).slots, *slots]):
        config = slots.get(slot, {})
        place = locate(config, error.key)
        if place is not None and section in config:
            line = "" if place.line is None else f":{place.line}"
            error.add_note(f"  set in {place.file}{line}")
            return


def _report_failure(report: StageReport, error: BaseException, log: logging.Logger) -> None:
    cause = _interruption(error)
    try:
        report.finish("failed" if cause is None else "interrupted", cause or error)
    except OSError as problem:  # such as a full disk, which may be what ended the stage
        log.warning("the report of stage %s cannot be written: %s", report.stage, problem)
    if cause is not None:
        log.error(
            "stage %s was interrupted after %.1fs%s",
            report.stage,
            report.seconds,
            f" ({cause})" if str(cause) else "",
        )
        for note in getattr(cause, "__notes__", []):
            log.error("%s", note)
        return
    if isinstance(error, SystemExit):
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename}:{frame.lineno}"
        log.error("stage %s: the program was left by %r in %s", report.stage, error, place)
    # The console shows the error once, when it leaves the program, and the table names this file.
    log.error(
        "stage %s failed after %.1fs", report.stage, report.seconds, exc_info=error, extra=FILE_ONLY
    )


def _interruption(error: BaseException) -> BaseException | None:
    """Return the interruption that ended a stage, if one did."""
    if isinstance(error, KeyboardInterrupt | StageInterrupted):
        return error
    # Lightning answers Ctrl-C by leaving the program.
    is_exit = isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt)
    return error.__context__ if is_exit else None


__all__ = [
    "StageMethodError",
    "StageSignatureError",
    "UnknownStageError",
    "resolve_stages",
    "run_stages",
]
