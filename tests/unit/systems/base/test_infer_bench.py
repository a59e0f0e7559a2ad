from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.parallel import bench
from espnet3.parallel.parallel import get_parallel_config
from espnet3.systems.base import infer_bench
from tests.unit.systems.base import toy_inference as toy

ROOT = Path(__file__).parents[4]


class FailsOnOneDevice(infer_bench.Busy):
    """A model that cannot be loaded where another one can."""

    def __init__(self):
        if os.environ["CUDA_VISIBLE_DEVICES"] == "1":
            raise RuntimeError("out of memory")


def test_all_numbers_are_measured(capsys):
    before = get_parallel_config()
    assert bench.main(["--items", "30", "--samples", "6", "--workers", "1"]) == 0
    text = capsys.readouterr().out
    for name in (
        r"this process, trivial model +[\d.]+ us per sample  \(target 60\)",
        r"workers \(1\), trivial model +[\d.]+ us  \(target 200\)",
        r"their start +[\d.]+ s",
        r"one Dask task per sample +\d+ us, \d+ times that",
        r"a bare loop +[\d.]+ samples/s",
        r"bare loops \(1\) at once +[\d.]+ samples/s, [\d.]+ times",
        r"workers / a bare loop +[\d.]+  \(target 0.85\)",
        r"workers / bare loops at once +[\d.]+",
    ):
        assert re.search(name, text), name
    assert get_parallel_config() is before


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_configuration_of_a_recipe_is_measured(tmp_path, monkeypatch, batch_size):
    """The model, the batches and the first test set are those of the file."""
    conf = tmp_path / "conf"
    conf.mkdir()
    ids = [{"name": "long", "ids": list("abcdef")}, {"name": "other", "ids": ["z"]}]
    changes = {"batch_size": batch_size, "parallel": {"env": "local", "n_workers": 1}}
    config = toy.toy_config("${exp_dir}/inference", output_keys=["hyp"], **changes)
    config["dataset"]["test"] = ids
    OmegaConf.save(OmegaConf.create(config), conf / "inference.yaml")
    OmegaConf.save(OmegaConf.create({"exp_tag": "small"}), conf / "training.yaml")
    monkeypatch.chdir(tmp_path)
    loaded = infer_bench.load_config(
        Path("conf/inference.yaml"), Path("conf/training.yaml"), "egs3.TEMPLATE.asr"
    )
    assert loaded["exp_tag"] == "small"
    toy.seen.clear()
    parallel = {"env": "local", "n_workers": 1}
    start, seconds = infer_bench.decode(loaded, parallel, 5)
    assert start >= 0 < seconds
    assert len(toy.seen) == 2 * (5 if batch_size is None else 3 + 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conf"]


def test_a_loop_that_fails_is_an_error_and_the_others_do_not_wait_for_it():
    config = infer_bench.make_config(infer_bench.Busy, 3)
    config["model"] = {"_target_": f"{__name__}.FailsOnOneDevice"}
    config["parallel"] = {"env": "local_gpu"}
    with pytest.raises(ValueError, match="a bare loop over the samples has failed"):
        infer_bench.time_loops(config, 3, 2, 2)


def test_only_workers_of_this_machine_are_compared_with_bare_loops(monkeypatch):
    monkeypatch.setattr(infer_bench, "decode", lambda config, parallel, count: (1.0, 2.0))
    lines = list(infer_bench.measure_speed({}, {"env": "slurm", "n_workers": 4}, 10))
    assert lines == [f"  {'workers (4)':32s} 5.0 samples/s"]


def test_help_loads_neither_torch_nor_dask():
    code = (
        "import sys\nfrom espnet3.parallel import bench\n"
        "try:\n    bench.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([n for n in ('torch', 'dask', 'distributed', 'hydra') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--training_config" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
