"""Kill the driver or a worker again and again: the outputs are those of an undisturbed run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from omegaconf import OmegaConf

from espnet3.systems.base.inference import infer
from tests.unit.systems.base import toy_inference as toy

ROOT = Path(__file__).parents[4]
NUM_SAMPLES = 2000
NUM_KILLS = 10
CODE = (
    "import sys, json\n"
    "from omegaconf import OmegaConf\n"
    "from espnet3.systems.base.inference import infer\n"
    "if __name__ == '__main__':\n"
    "    infer(OmegaConf.create(json.loads(sys.argv[1])))\n"
)


def config(folder, **changes):
    ids = [f"spk{i % 7}.{i:05d}" for i in range(NUM_SAMPLES)]
    return toy.toy_config(
        folder,
        dataset={"_target_": f"{toy.HERE}.ToyOrganizer", "test": [{"name": "clean", "ids": ids}]},
        model={"_target_": f"{toy.HERE}.SlowModel"},
        output_fn=f"{toy.HERE}.build_with_array",
        output_keys=["hyp", "vector"],
        **changes,
    )


def outputs(folder):
    """Return the content of every file that is a result, by path."""
    clean = folder / "clean"
    files = [*clean.glob("*.scp"), *clean.glob("vector/*")]
    return {
        path.relative_to(clean).as_posix(): path.read_bytes().replace(str(folder).encode(), b"")
        for path in files
    }


def start(script, settings):
    return subprocess.Popen(
        [sys.executable, str(script), json.dumps(settings)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def workers_of(driver):
    """Return the worker processes; one that has just been killed is none any more."""
    found = []
    for child in psutil.Process(driver.pid).children():
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def kill_worker(driver, random_numbers):
    """Kill one of the workers, as soon as there is one."""
    while driver.poll() is None:
        for worker in random_numbers.sample(found := workers_of(driver), len(found)):
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
                return
        time.sleep(0.02)
    raise AssertionError("the run ended before a worker could be killed")


def wait_for_progress(driver, journal, size):
    """Wait until samples have been added, or the driver has ended."""
    while driver.poll() is None:
        with_size = journal.stat().st_size if journal.is_file() else 0
        if with_size > size:
            return with_size
        time.sleep(0.02)
    return size


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_any_kills_leave_the_outputs_of_an_undisturbed_run(tmp_path, seed):
    random_numbers = random.Random(seed)
    infer(OmegaConf.create(config(tmp_path / "calm")))
    settings = config(tmp_path / "chaos", parallel={"env": "local", "n_workers": 2})
    script = tmp_path / "driver.py"
    script.write_text(CODE)
    journal = tmp_path / "chaos" / "clean" / ".infer" / "journal.jsonl"
    driver, size = start(script, settings), 0
    victims = ["driver", "worker"] * (NUM_KILLS // 2)
    random_numbers.shuffle(victims)
    for number, victim in enumerate(victims):
        size = wait_for_progress(driver, journal, size)
        assert driver.poll() is None, f"ended after {victims[:number]}"
        time.sleep(random_numbers.uniform(0.0, 0.3))
        if victim == "worker":
            kill_worker(driver, random_numbers)
        else:
            driver.kill()
            assert driver.wait() == -signal.SIGKILL
            # Until the next one has results of its own, its workers are only starting.
            size = journal.stat().st_size
            driver = start(script, settings)
    assert driver.wait(timeout=300) == 0
    found, expected = outputs(tmp_path / "chaos"), outputs(tmp_path / "calm")
    assert found.keys() == expected.keys()
    assert len(found) == NUM_SAMPLES + 2
    assert found == expected
