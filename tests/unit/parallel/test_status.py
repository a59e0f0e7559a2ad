from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from espnet3.parallel.job_state import note_process
from espnet3.parallel.shards import ShardPlan
from espnet3.parallel.status import find_progress, main
from espnet3.systems.base.inference_journal import Journal
from espnet3.systems.base.inference_writer import WrittenSample
from espnet3.utils.lock_utils import file_lock


@pytest.fixture
def interrupted(tmp_path):
    """A test set of four samples, two of which are done."""
    folder = tmp_path / "clean"
    with Journal(folder, num_samples=4, parts={"a": "b"}, fields=["hyp"]) as journal:
        journal.set_fields(["hyp"], set())
        for index in (2, 0):
            rows = json.dumps([index, [[f"u{index}", "[x]"]]])
            journal.add(WrittenSample(index, [f"u{index}"], rows))
    return folder


def report(folder):
    return [str(progress) for progress in find_progress(folder)]


def test_a_dead_run_tells_how_far_it_came(tmp_path, interrupted):
    journal = interrupted / ".infer" / "journal.jsonl"
    with journal.open("a") as stream:
        stream.write("[3, [[")
    os.utime(journal, (1, 1))
    (line,) = report(tmp_path)
    assert line.startswith("clean  2/4   50 %  not running, last result ")
    assert line.endswith(" d ago")
    assert report(interrupted) == [line]


def test_failures_of_a_run_that_is_not_over_are_counted(interrupted):
    (interrupted / ".infer" / "failures.jsonl").write_text('{"index": 1}\n{"index"')
    (line,) = report(interrupted)
    assert "not running, 1 failed, last result " in line


def test_a_run_that_holds_its_lock_is_running(tmp_path, interrupted):
    lock = interrupted / ".infer" / "lock"
    with file_lock(lock):
        assert f"running as process {os.getpid()}, last result" in report(tmp_path)[0]
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    lock.write_text(f"{done.stdout.strip()} on {socket.gethostname()}\n")
    assert "not running" in report(tmp_path)[0]
    lock.write_text("7 on elsewhere\n")
    assert "last held by process 7 on elsewhere" in report(tmp_path)[0]


def test_a_finished_run_is_done(tmp_path):
    state = tmp_path / "clean" / ".infer"
    state.mkdir(parents=True)
    (state / "done.json").write_text('{"num_samples": 4, "num_failed": 1}')
    assert report(tmp_path) == ["clean  3/4   75 %  done, 1 failed"]


def test_a_run_that_has_just_begun_has_no_numbers(tmp_path):
    (tmp_path / "clean" / ".infer").mkdir(parents=True)
    assert report(tmp_path) == ["clean  0/?         not running"]


def test_shards_and_detached_jobs_are_counted(tmp_path):
    plan = ShardPlan(output_dir=tmp_path, shard_subdir="out", shards=[[1], [2]], identity=None)
    plan.prepare("auto")
    (tmp_path / "out/split.0").mkdir()
    (tmp_path / "out/split.0/done").touch()
    (tmp_path / "specs").mkdir()
    for rank, results in enumerate(['"a"\n"b"\n', '"c"\n"d', None]):
        path = tmp_path / f"result-{rank}"
        if results:
            path.write_text(results)
        spec = {"indices": [0, 1], "result_path": str(path)}
        (tmp_path / f"specs/spec-x-r{rank}.json").write_text(json.dumps(spec))
        (tmp_path / f"specs/spec-x-r{rank}.secrets.json").write_text("[]")
    assert report(tmp_path) == [
        "out (shards)  1/2   50 %  missing: split.1",
        "job x-r0  2/2  100 %  done",
        "job x-r1  1/2   50 %  last result 0 s ago",
        "job x-r2  0/2    0 %  not started",
    ]


def test_a_detached_job_that_died_is_not_one_that_waits(tmp_path):
    for name in ("works", "fails"):
        spec = {"indices": [0, 1], "result_path": str(tmp_path / name)}
        (tmp_path / f"spec-{name}.json").write_text(json.dumps(spec))
    note_process(tmp_path / "spec-works.json", os.getpid())
    (tmp_path / "spec-fails.error").write_text("ValueError: no\nwhile Runner worked on item 2\n")
    (tmp_path / "fails").write_text("1\n")
    assert report(tmp_path) == [
        "job fails  1/2   50 %  died: ValueError: no … while Runner worked on item 2, "
        "last result 0 s ago",
        f"job works  0/2    0 %  running as process {os.getpid()}",
    ]


def test_the_command_says_when_there_is_nothing(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text('{"files": 3}')
    assert main([str(tmp_path)]) == 1
    assert "no run has left anything" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(tmp_path / "absent")])
    assert "no such folder" in capsys.readouterr().err
