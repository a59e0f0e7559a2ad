from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import pytest

from espnet3.parallel import job_state
from espnet3.parallel.job_state import find_death, find_holder, note_process, sign_of_life


@pytest.fixture
def spec(tmp_path):
    return tmp_path / "spec-1-r0.json"


def ended_process():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_job_that_has_not_begun_is_not_dead(spec):
    assert (find_death(spec), find_holder(spec)) == (None, None)


def test_a_job_that_works_says_who_it_is(spec):
    with sign_of_life(spec):
        assert find_holder(spec) == f"running as process {os.getpid()}"
        assert find_death(spec) is None


def test_what_ended_a_job_is_kept_for_its_owner_until_it_begins_again(spec):
    def fail():
        error = ValueError("bad; password=hunter2")
        error.add_note("while Runner worked on item 2")
        raise error

    with pytest.raises(ValueError, match="bad"), sign_of_life(spec):
        fail()
    assert find_death(spec) == "ValueError: bad; password=***\nwhile Runner worked on item 2"
    (error,) = spec.parent.glob("*.error")
    assert stat.S_IMODE(error.stat().st_mode) == 0o600
    with sign_of_life(spec):
        assert find_death(spec) is None


def test_the_signal_that_ends_jobs_is_named(spec):
    with pytest.raises(SystemExit), sign_of_life(spec):
        os.kill(os.getpid(), signal.SIGTERM)
    assert find_death(spec).endswith("ended by SIGTERM")


def test_a_process_that_is_gone_is_dead_and_its_log_is_quoted(spec):
    note_process(spec, ended_process())
    assert find_death(spec) == "its process is gone, was it killed?"
    spec.with_suffix(".log").write_text("".join(f"line {n}\n" for n in range(9)))
    assert find_death(spec).splitlines()[1:] == [f"line {n}" for n in range(4, 9)]


def test_a_job_elsewhere_is_dead_when_it_gives_no_sign_for_long(spec):
    note_process(spec, 7)
    (process,) = spec.parent.glob("*.process")
    process.write_text("7 on elsewhere\n")
    assert find_death(spec) is None
    os.utime(process, (1, 1))
    assert find_death(spec).endswith("min, last held by process 7 on elsewhere")


def test_a_job_that_works_gives_signs(spec, monkeypatch):
    monkeypatch.setattr(job_state, "_BEAT_EVERY", 0.01)
    with sign_of_life(spec):
        (process,) = spec.parent.glob("*.process")
        os.utime(process, (1, 1))
        for _ in range(1000):
            if process.stat().st_mtime > 1:
                break
            job_state.threading.Event().wait(0.01)
        assert process.stat().st_mtime > 1
