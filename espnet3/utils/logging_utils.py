"""Logging: console, one file per stage, stage labels, and what a stage log starts with."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

from espnet3.utils.describe import (
    build_callable_name,
    build_qualified_name,
    log_component,
    log_instance_dict,
)
from espnet3.utils.device_utils import process_rank
from espnet3.utils.env_report import get_git_metadata, log_env_metadata, log_run_metadata
from espnet3.utils.log_files import open_log_file, rotate
from espnet3.utils.stage_report import log_stage_metadata
from espnet3.utils.types import PathLike

LOG_FORMAT = (
    "[%(hostname)s] %(asctime)s (%(filename)s:%(lineno)d) %(levelname)s:\t[%(stage)s] %(message)s"
)
DATE_FORMAT = "%Y-%m-%d %H:%M:%S %Z"
CONSOLE_FORMAT = "%(asctime)s [%(stage)s] %(levelname)s: %(message)s"
CONSOLE_DATE_FORMAT = "%H:%M:%S"

_HOSTNAME = os.uname().nodename
_stage: ContextVar[str] = ContextVar("espnet3_stage", default="main")


@contextlib.contextmanager
def log_stage(name: str) -> Iterator[None]:
    """Label the records logged inside the block with a stage name."""
    _install_record_factory()
    token = _stage.set(name)
    try:
        yield
    finally:
        _stage.reset(token)


def set_log_format(
    log_format: str | None = None, date_format: str | None = None, apply: bool = True
) -> None:
    """Replace the formats of log files and console.

    Args:
        log_format: ``%``-style format; may use ``%(hostname)s`` and ``%(stage)s``.
        date_format: ``time.strftime`` format.
        apply: Give the formats to the handlers that the root logger has now, too.
    """
    global LOG_FORMAT, DATE_FORMAT, CONSOLE_FORMAT, CONSOLE_DATE_FORMAT
    if log_format is not None:
        LOG_FORMAT = CONSOLE_FORMAT = log_format
    if date_format is not None:
        DATE_FORMAT = CONSOLE_DATE_FORMAT = date_format
    if apply:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(_formatter(console=not isinstance(handler, logging.FileHandler)))


def configure_logging(
    log_dir: PathLike | None = None, level: int = logging.INFO, filename: str = "run.log"
) -> logging.Logger:
    """Set up the root logger for a run; calling it again adds nothing.

    The console gets a short format and no stage headers while a log file receives them; files get
    the full format. A console handler that the application has already is used.

    Args:
        log_dir: Folder for a log file; ``None`` for none. A file of an earlier run is rotated.
        level: Level of the root logger.
        filename: Name of the log file.

    Returns:
        The logger named ``espnet3``.
    """
    _install_record_factory()
    root = logging.getLogger()
    root.setLevel(level)
    # Its line for each request to the Hub is for debugging.
    logging.getLogger("httpx").setLevel(logging.WARNING if level > logging.DEBUG else level)
    console = next((h for h in root.handlers if _is_console(h)), None)
    if console is None:
        console = _ConsoleHandler()
        root.addHandler(console)
    console.setFormatter(_formatter(console=True))
    if not any(isinstance(f, _ConsoleFilter) for f in console.filters):
        console.addFilter(_ConsoleFilter())
    if log_dir is not None:
        path = Path(log_dir).absolute() / filename
        if not any(Path(h.baseFilename) == path for h in _file_handlers()):
            root.addHandler(_with_format(open_log_file(path, logging.FileHandler)))
    logging.captureWarnings(True)
    return logging.getLogger("espnet3")


def set_stage_log_handler(log_dir: PathLike | None, filename: str) -> Path | None:
    """Send the root logger's records to the file of one stage, and no longer to the last one's.

    Args:
        log_dir: Folder of the file, created when absent; ``None`` only closes the last file.
        filename: Name of the file. An existing one is rotated, or, where a running process writes
            to it, keeps its name.

    Returns:
        Absolute path of the new log file.
    """
    _install_record_factory()
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _StageFileHandler)]:
        root.removeHandler(handler)
        handler.close()
    if log_dir is None:
        return None
    opened = open_log_file(Path(log_dir).resolve() / filename, _StageFileHandler)
    root.addHandler(_with_format(opened))
    return Path(opened.baseFilename)


class _StageFileHandler(logging.FileHandler):
    """The file handler of the running stage."""


class _ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line of its own; progress bars step aside and come back below it."""
        bars = sys.modules.get("tqdm")
        if bars is None or not self.stream.isatty():
            super().emit(record)
            return
        with bars.tqdm.external_write_mode(file=self.stream):
            super().emit(record)


class _ConsoleFilter(logging.Filter):
    """Keep stage headers off the console as long as a file receives them.

    Of ranks other than 0 it shows warnings only: the rest is what rank 0 says too.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING and process_rank() > 0:
            return False
        return not (getattr(record, "file_only", False) and _file_handlers())


def _file_handlers() -> list[logging.FileHandler]:
    return [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]


def _is_console(handler: logging.Handler) -> bool:
    return (
        isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
        and handler.stream in (sys.stdout, sys.stderr)
    )


def _with_format(handler: logging.FileHandler) -> logging.FileHandler:
    handler.setFormatter(_formatter(console=False))
    return handler


def _formatter(*, console: bool) -> logging.Formatter:
    # The defaults serve records that were made before, or elsewhere than by, our record factory.
    return logging.Formatter(
        CONSOLE_FORMAT if console else LOG_FORMAT,
        datefmt=CONSOLE_DATE_FORMAT if console else DATE_FORMAT,
        defaults={"hostname": _HOSTNAME, "stage": "main"},
    )


def _install_record_factory() -> None:
    """Give every new record ``hostname`` and ``stage``, on top of the factory in use."""
    make_record = logging.getLogRecordFactory()
    if getattr(make_record, "adds_stage", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        record.hostname = _HOSTNAME
        record.stage = _stage.get()
        return record

    factory.adds_stage = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


__all__ = [
    "DATE_FORMAT",
    "LOG_FORMAT",
    "build_callable_name",
    "build_qualified_name",
    "configure_logging",
    "get_git_metadata",
    "log_component",
    "log_env_metadata",
    "log_instance_dict",
    "log_run_metadata",
    "log_stage",
    "log_stage_metadata",
    "rotate",
    "set_log_format",
    "set_stage_log_handler",
]
