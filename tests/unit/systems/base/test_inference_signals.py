"""Real signals, a real full disk: nothing that was finished is lost, and nobody stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from omegaconf import OmegaConf

from espnet3.parallel.status import find_progress
from espnet3.systems.base.inference import infer
from tests.unit.systems.base import toy_inference as toy

ROOT = Path(__file__).parents[4]
IDS = [f"u{i:03d}" for i in range(150)]
CODE = """
import json, sys
from omegaconf import OmegaConf
from espnet3.systems.base.inference import infer
from espnet3.utils.run_cli import show_error
from espnet3.utils.stages_utils import run_stages

class System:
    stage_log_dirs = {"default": None}

    def infer(self):
        infer(OmegaConf.create(json.loads(sys.argv[1])))

if __name__ == "__main__":
    sys.excepthook = show_error
    run_stages(System(), ["infer"])
"""


@pytest.fixture
def start(tmp_path):
    """Start the stage in a process group of its own; whatever is left is killed at the end."""
    script, started = tmp_path / "driver.py", []
    script.write_text(CODE)

    def start(settings, **options):
        process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(settings)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if not process.stderr.closed:
            process.communicate()


def config(folder, model="SlowModel", **changes):
    test = [{"name": "clean", "ids": IDS}]
    return toy.toy_config(
        folder,
        dataset={"_target_": f"{toy.HERE}.ToyOrganizer", "test": test},
        model={"_target_": f"{toy.HERE}.{model}"},
        output_keys=["hyp"],
        **changes,
    )


def lines(folder):
    """Return the indices of the samples in the journal, which must all be complete."""
    path = folder / "clean" / ".infer" / "journal.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [entry[0] for entry in entries if isinstance(entry, list)]


def wait_for(condition, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(folder, **changes):
    """Decode what is missing here, check the result, and return how many samples that were."""
    toy.seen.clear()
    infer(OmegaConf.create(config(folder, **changes)))
    found = (folder / "clean" / "hyp.scp").read_text().splitlines()
    assert found == [f"{name} h{i}" for i, name in enumerate(IDS)]
    return len(toy.seen)


@pytest.mark.parametrize(
    ("number", "codes"), [(signal.SIGTERM, {143}), (signal.SIGINT, {130, -signal.SIGINT})]
)
def test_a_signal_ends_the_stage_in_order_and_the_next_run_does_the_rest(
    start, tmp_path, number, codes
):
    process = start(config(tmp_path / "out"))
    wait_for(lambda: len(lines(tmp_path / "out")) >= 3, process)
    process.send_signal(number)
    error = process.communicate(timeout=10)[1]
    assert process.returncode in codes
    done = lines(tmp_path / "out")
    progress = f"test set clean: {len(done)} of 150 utterances are done; the same command goes on"
    assert progress in error
    if number == signal.SIGINT:
        assert error.splitlines()[-1] == f"{progress} from there"
    assert done == list(range(len(done)))
    report = json.loads((tmp_path / "out" / "clean" / "inference_report.json").read_text())
    assert report["num_done"] == len(done)
    assert finish(tmp_path / "out") == len(IDS) - len(done) > 0


def test_failures_that_are_known_survive_the_death_of_the_driver(start, tmp_path):
    settings = config(tmp_path / "out", execution={"on_error": "record", "max_failures": 9})
    # The first sample fails; the fifth, in the next piece of work, hangs.
    settings["model"] = {"_target_": f"{toy.HERE}.HangingModel"}
    settings["output_fn"] = f"{toy.HERE}.build_all_but_first"
    process = start(settings)
    state = tmp_path / "out" / "clean" / ".infer"
    wait_for((state / "failures.jsonl").is_file, process)
    wait_for(lambda: (state / "failures.jsonl").stat().st_size, process)
    process.kill()
    process.wait()
    (failure,) = map(json.loads, (state / "failures.jsonl").read_text().splitlines())
    assert (failure["index"], failure["id"], failure["kind"]) == (0, "u000", "exception")
    assert "LookupError: no result" in failure["traceback"]
    (progress,) = find_progress(tmp_path / "out")
    assert "not running, 1 failed" in str(progress)


def test_a_second_signal_ends_it_at_once(start, tmp_path):
    process = start(config(tmp_path / "out", model="HangingModel"))
    path = tmp_path / "out" / "clean" / ".infer" / "journal.jsonl"
    wait_for(path.is_file, process)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 143


def test_ctrl_c_leaves_workers_their_batches_and_orphans_do_not_live_on(start, tmp_path):
    workers = {"parallel": {"env": "local", "n_workers": 2}}
    process = start(config(tmp_path / "out", **workers))
    wait_for(lambda: len(lines(tmp_path / "out")) >= 3, process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) in {130, -signal.SIGINT}
    done = lines(tmp_path / "out")
    assert "died" not in process.communicate()[1]
    process = start(config(tmp_path / "out", **workers))
    wait_for(lambda: len(lines(tmp_path / "out")) > len(done), process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
    done = lines_without_tail(tmp_path / "out")
    assert finish(tmp_path / "out") == len(IDS) - len(done)


def lines_without_tail(folder):
    """Drop a line that the kill has cut short, as the next run does."""
    path = folder / "clean" / ".infer" / "journal.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[: content.rfind(b"\n") + 1])
    return lines(folder)


FULL = """
import json, os, subprocess, sys
from pathlib import Path
import numpy as np
from omegaconf import OmegaConf
from espnet3.systems.base.inference import infer

def main(folder, config):
    try:
        infer(OmegaConf.create(config))
    except OSError as error:
        print(error, *error.__notes__)
    before = sorted(str(p) for p in folder.rglob("*.scp"))
    subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)
    infer(OmegaConf.create(config))
    report = json.loads((folder / "clean" / "inference_report.json").read_text())
    rows = (folder / "clean" / "vector.scp").read_text().split()
    sizes = [len(np.load(path)) for path in rows[1::2]]
    print(json.dumps([before, report["num_resumed"], report["num_done"], rows[::2], sizes]))

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    main(folder, json.loads(sys.argv[2]))
"""


@pytest.mark.parametrize("n_workers", [1, 2])
def test_files_beyond_the_end_of_the_disk_are_named_and_made_when_there_is_room(
    tmp_path, n_workers
):
    enter = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*enter, "true"], check=False).returncode:
        pytest.skip("no mount namespaces on this machine")
    (tmp_path / "disk").mkdir()
    (tmp_path / "driver.py").write_text(FULL)
    keys = {"output_fn": f"{toy.HERE}.build_with_array", "model": "SlowModel"}
    settings = config(tmp_path / "disk", parallel={"env": "local", "n_workers": n_workers}, **keys)
    settings["output_keys"] = ["hyp", "vector"]
    done = subprocess.run(
        [*enter, sys.executable, tmp_path / "driver.py", tmp_path / "disk", json.dumps(settings)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    error, found = done.stdout.splitlines()
    assert "No space left on device while writing " in error
    assert str(tmp_path / "disk" / "clean") in error
    scps, resumed, finished, ids, sizes = json.loads(found)
    assert scps == []
    assert 10 < resumed < len(IDS) == finished
    assert ids == IDS
    assert sizes == [i % 5 for i in range(len(IDS))]


def test_a_full_disk_ends_the_stage_with_an_error_and_the_next_run_does_the_rest(start, tmp_path):
    # The journal's first lines take about 10 kB; the space ends among the samples.
    finish(tmp_path / "size", model="ToyModel", execution={"keep_journal": True})
    size = (tmp_path / "size" / "clean" / ".infer" / "journal.jsonl").stat().st_size

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1500, resource.RLIM_INFINITY))

    keys = {"execution": {"keep_journal": True}}
    process = start(config(tmp_path / "out", model="SlowModel", **keys), preexec_fn=limit)
    error = process.communicate(timeout=90)[1]
    assert process.returncode == 1
    assert "File too large" in error
    done = lines_without_tail(tmp_path / "out")
    assert 0 < len(done) < len(IDS)
    assert finish(tmp_path / "out", **keys) == len(IDS) - len(done)
