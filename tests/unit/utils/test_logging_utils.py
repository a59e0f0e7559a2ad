from __future__ import annotations

import io
import logging
import threading
import warnings

import pytest
from tqdm import tqdm

from espnet3.utils import logging_utils
from espnet3.utils.env_report import FILE_ONLY
from espnet3.utils.logging_utils import (
    configure_logging,
    log_stage,
    set_log_format,
    set_stage_log_handler,
)

pytestmark = pytest.mark.usefixtures("clean_logging")


def own(root):
    """Handlers without those of the test runner."""
    return [h for h in root.handlers if type(h).__name__ != "LogCaptureHandler"]


@pytest.fixture
def formats():
    names = ("LOG_FORMAT", "DATE_FORMAT", "CONSOLE_FORMAT", "CONSOLE_DATE_FORMAT")
    saved = {name: getattr(logging_utils, name) for name in names}
    yield
    for name, value in saved.items():
        setattr(logging_utils, name, value)


def test_a_file_line_has_host_time_place_level_stage_and_message_in_this_order(tmp_path):
    configure_logging(tmp_path)
    with log_stage("train"):
        logging.getLogger("somebody.else").warning("hello %s", "there")
    line = (tmp_path / "run.log").read_text().strip()
    pattern = (
        r"\[[^\]]+\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ "
        r"\(test_logging_utils\.py:\d+\) WARNING:\t\[train\] hello there"
    )
    import re

    assert re.fullmatch(pattern, line)


@pytest.mark.parametrize(("level", "is_logged"), [(logging.INFO, False), (logging.DEBUG, True)])
def test_requests_to_the_hub_are_logged_for_debugging_only(tmp_path, level, is_logged):
    configure_logging(tmp_path, level)
    logging.getLogger("httpx").info("HTTP Request: GET /api/models")
    logging.getLogger("httpx").warning("slow")
    text = (tmp_path / "run.log").read_text()
    assert ("HTTP Request" in text) is is_logged and "slow" in text


def test_stage_labels_nest_and_fall_back_to_main(tmp_path):
    configure_logging(tmp_path)
    log = logging.getLogger("x")
    with log_stage("outer"):
        with log_stage("inner"):
            log.info("a")
        log.info("b")
    log.info("c")
    text = (tmp_path / "run.log").read_text()
    assert "[inner] a" in text
    assert "[outer] b" in text
    assert "[main] c" in text


def test_records_without_our_attributes_are_formatted_with_defaults(tmp_path):
    set_stage_log_handler(tmp_path, "s.log")
    record = logging.makeLogRecord({"msg": "from a queue", "levelname": "INFO", "levelno": 20})
    del record.__dict__["stage"], record.__dict__["hostname"]
    logging.getLogger().handle(record)
    assert "[main] from a queue" in (tmp_path / "s.log").read_text()


def test_records_of_threads_are_formatted(tmp_path):
    configure_logging(tmp_path)
    thread = threading.Thread(target=lambda: logging.getLogger("t").info("from a thread"))
    thread.start()
    thread.join()
    assert "from a thread" in (tmp_path / "run.log").read_text()


def test_configuring_twice_adds_nothing(tmp_path, clean_logging):
    configure_logging(tmp_path)
    logger = configure_logging(tmp_path)
    assert logger.name == "espnet3"
    assert len(own(clean_logging)) == 2
    assert not (tmp_path / "run1.log").exists()


def test_a_console_handler_of_the_application_is_used(clean_logging):
    theirs = logging.StreamHandler()
    clean_logging.addHandler(theirs)
    configure_logging()
    assert own(clean_logging) == [theirs]


def test_a_file_handler_does_not_count_as_console(tmp_path, clean_logging):
    clean_logging.addHandler(logging.FileHandler(tmp_path / "other.log"))
    configure_logging()
    assert len(own(clean_logging)) == 2


def test_the_console_follows_a_replaced_stderr(monkeypatch):
    configure_logging()
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logging.getLogger("x").info("visible")
    assert "[main] INFO: visible" in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_line_and_a_progress_bar_never_share_a_line_of_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    configure_logging()
    with tqdm(total=3, file=terminal, mininterval=0, ascii=True, ncols=40) as bar:
        for number in range(3):
            bar.update()
            logging.getLogger("x").info("step %d", number)
    lines = [line.split("\r")[-1] for line in terminal.getvalue().splitlines()]
    shown = [line for line in lines if "step" in line]
    assert [line.partition("INFO: ")[2] for line in shown] == ["step 0", "step 1", "step 2"]
    assert "it/s" not in "".join(shown)
    assert "100%" in lines[-1]


def test_file_only_records_stay_off_the_console_while_a_file_takes_them(tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging()
    log = logging.getLogger("x")
    log.info("nowhere else to go", extra=FILE_ONLY)
    set_stage_log_handler(tmp_path, "s.log")
    log.info("details", extra=FILE_ONLY)
    assert "nowhere else to go" in stream.getvalue()
    assert "details" not in stream.getvalue()
    assert "details" in (tmp_path / "s.log").read_text()


def test_other_ranks_show_warnings_only(monkeypatch, capsys):
    logger = configure_logging()
    monkeypatch.setenv("LOCAL_RANK", "1")
    logger.info("rank 0 says this too")
    logger.warning("a problem of this rank")
    shown = capsys.readouterr().err
    assert "a problem of this rank" in shown
    assert "rank 0 says this too" not in shown


def test_python_warnings_reach_the_log(tmp_path):
    configure_logging(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("mind the gap", UserWarning, stacklevel=1)
    assert "mind the gap" in (tmp_path / "run.log").read_text()


def test_an_earlier_log_is_rotated_to_the_first_free_number(tmp_path):
    for text in ("first", "second", "third"):
        path = set_stage_log_handler(tmp_path, "train.log")
        logging.getLogger().warning(text)
    assert path == tmp_path / "train.log"
    assert "third" in path.read_text()
    assert "first" in (tmp_path / "train1.log").read_text()
    assert "second" in (tmp_path / "train2.log").read_text()


def test_reports_beside_a_log_rotate_with_it(tmp_path):
    (tmp_path / "train.config").mkdir()
    (tmp_path / "train1.config").mkdir()
    (tmp_path / "train1.config" / "of_a_deleted_log.yaml").write_text("")
    names = ("train.log", "train.run.json", "train.config/training_config.yaml", "train.other")
    for name in names:
        (tmp_path / name).write_text(name)
    set_stage_log_handler(tmp_path, "train.log")
    assert (tmp_path / "train1.run.json").read_text() == "train.run.json"
    assert [p.name for p in (tmp_path / "train1.config").iterdir()] == ["training_config.yaml"]
    assert (tmp_path / "train.other").exists()


def test_the_last_stage_file_is_always_closed(tmp_path, clean_logging):
    set_stage_log_handler(tmp_path / "a", "a.log")
    set_stage_log_handler(tmp_path / "b", "b.log")
    logging.getLogger().warning("for b")
    assert set_stage_log_handler(None, "c.log") is None
    logging.getLogger().warning("for nobody")
    assert (tmp_path / "a" / "a.log").read_text() == ""
    assert "for nobody" not in (tmp_path / "b" / "b.log").read_text()
    assert own(clean_logging) == []


@pytest.mark.usefixtures("formats")
def test_a_new_format_reaches_live_handlers_only_with_apply(tmp_path):
    configure_logging(tmp_path)
    set_log_format("A %(message)s", "%Y", apply=False)
    logging.getLogger().warning("one")
    set_log_format("B %(message)s")
    logging.getLogger().warning("two")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert lines[0].endswith("] one")
    assert lines[1] == "B two"
