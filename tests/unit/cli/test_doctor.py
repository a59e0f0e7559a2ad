"""`espnet3 doctor` says whether the stages of a recipe can run here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from espnet3.cli import diagnosis, machine
from espnet3.cli.distributions import Collision
from espnet3.cli.main import main
from tests.conftest import REPO_ROOT


@pytest.fixture(autouse=True)
def process_state(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.setattr(diagnosis, "find_collisions", list)


@pytest.fixture
def recipe(tmp_path, capsys):
    assert main(["new", "mine/asr"]) == 0
    capsys.readouterr()
    return tmp_path / "mine" / "asr"


def append(path, text):
    path.write_text(path.read_text() + text)


def test_a_recipe_whose_needs_are_met_is_healthy(recipe, capsys):
    assert main(["doctor", str(recipe)]) == 0
    out = capsys.readouterr().out
    assert "train            ok" in out and "lightning 2." in out
    assert "cannot run" not in out and "pack_demo" not in out
    assert "data: writable, " in out
    assert "create_dataset.lists.train = lists/train.tsv does not exist" in out


def test_a_missing_package_stops_its_stage_only_and_names_the_command(recipe, capsys):
    append(
        recipe / "conf/training.yaml",
        "\ncriterion:\n  _target_: no_such_package.Loss\n",
    )
    (recipe / "dataset/builder.py").write_text("import another_missing_package\n")
    assert main(["doctor", str(recipe)]) == 1
    out = capsys.readouterr().out
    assert "measure          ok" in out
    assert "train            cannot run" in out
    assert "no module named 'no_such_package' (criterion" in out
    assert "no module named 'another_missing_package' (builder.py:1)" in out
    assert "install the package that provides 'no_such_package'" in out


def test_extras_are_installed_with_one_command(recipe, monkeypatch, capsys):
    append(recipe / "conf/inference.yaml", "\nparallel: {env: slurm, n_workers: 2}\n")
    real = diagnosis.inspect_package
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        states = {name: real(name) for name in ("dask_jobqueue", "wandb")}
    monkeypatch.setattr(diagnosis, "inspect_package", lambda name: states.get(name) or real(name))
    monkeypatch.setenv("PATH", "")
    assert main(["doctor", str(recipe)]) == 1
    out = capsys.readouterr().out
    assert "dask-jobqueue is not installed (parallel.env: slurm)" in out
    assert "there is no command sbatch (parallel.env: slurm)" in out
    assert 'what helps:\n  pip install "espnet3[cluster]"\n' in out


@pytest.mark.parametrize(
    ("found", "cuda", "message"),
    [
        (1, "12.8", "needs 2 GPUs, and 1 can be seen"),
        (2, None, "torch 2.13.0 was built without support for GPUs"),
        (2, "12.8", None),
    ],
)
def test_gpus_are_counted_and_torch_must_support_them(
    recipe, monkeypatch, capsys, found, cuda, message
):
    text = (recipe / "conf/training.yaml").read_text()
    text = text.replace("trainer:\n", "num_device: 2\ntrainer:\n  accelerator: gpu\n")
    (recipe / "conf/training.yaml").write_text(text)
    monkeypatch.setattr(machine, "count_gpus", lambda: found)
    monkeypatch.setattr(machine, "torch_build", lambda: machine.TorchBuild("2.13.0", cuda))
    assert main(["doctor", str(recipe)]) == (message is not None)
    assert (message or "train            ok") in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_stops_its_stage(recipe, capsys):
    (recipe / "exp").write_text("a file")
    assert main(["doctor", str(recipe)]) == 1
    out = capsys.readouterr().out
    assert "train            cannot run" in out and "exp/training cannot be written" in out
    assert "create_dataset   ok" in out


def test_little_space_is_a_warning(recipe, monkeypatch, capsys):
    monkeypatch.setattr(machine, "free_bytes", lambda path: 2**20)
    assert main(["doctor", str(recipe)]) == 0
    assert "less than 2 GiB are free" in capsys.readouterr().out


def test_a_missing_dataset_module_is_named(recipe, capsys):
    (recipe / "dataset/__init__.py").unlink()
    assert main(["doctor", str(recipe)]) == 1
    assert f"{recipe / 'dataset/__init__.py'} does not exist (dataset)" in capsys.readouterr().out


def test_mistakes_of_the_configuration_are_left_to_check(recipe, capsys):
    append(recipe / "conf/training.yaml", "\nsed: 1\n")
    assert main(["doctor", str(recipe)]) == 1
    assert "the configuration has 1 mistake: run espnet3 check" in capsys.readouterr().out


@pytest.mark.parametrize("is_overwriting", [False, True])
def test_other_owners_of_our_packages_are_named(recipe, monkeypatch, capsys, is_overwriting):
    collision = Collision("espnet 202511", "espnet3", 7, is_overwriting)
    monkeypatch.setattr(diagnosis, "find_collisions", lambda: [collision])
    assert main(["doctor", str(recipe)]) == is_overwriting
    out = capsys.readouterr().out
    verb = "has overwritten files of espnet3" if is_overwriting else "also has a package espnet3/"
    assert f"espnet 202511 {verb} (7 files)" in out
    assert "use an environment without espnet" in out


def test_a_recipe_with_a_demo_is_told_what_it_needs(recipe, capsys):
    (recipe / "conf/demo.yaml").write_text("exp_tag: x\n")
    script = (recipe / "run.py").read_text()
    (recipe / "run.py").write_text(script.replace("DEFAULT_STAGES", "ALL_STAGES"))
    assert main(["doctor", str(recipe)]) == 0
    assert "pack_demo" in capsys.readouterr().out


def test_without_a_recipe_all_stages_are_shown(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "pack_model" in out and "upload_demo" in out and "folders:" not in out


def test_a_folder_that_is_no_recipe_is_refused(tmp_path, capsys):
    assert main(["doctor", str(tmp_path)]) == 1
    assert "is no recipe" in capsys.readouterr().err


def test_the_doctor_imports_nothing_that_it_examines(recipe):
    code = (
        "import sys; from espnet3.cli.main import main; status = main(['doctor'])\n"
        "heavy = {'torch', 'lightning', 'hydra', 'dask', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(status)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO_ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=recipe, env=environment, check=True)


def test_phases_of_training_are_examined_with_their_own_configuration(capsys):
    assert main(["doctor", str(REPO_ROOT / "egs3/mini_digits/asr_curriculum")]) == 0
    out = capsys.readouterr().out
    stages = [line.split()[0] for line in out.splitlines() if "  ok  " in line]
    assert {"create_dataset", "train_easy", "train_full", "infer", "export_debug"} <= set(stages)
    assert "lightning" in next(line for line in out.splitlines() if line.startswith("train_easy"))
    assert "exp/training_easy: writable" in out and "exp/training_full: writable" in out


def test_configurations_that_no_default_flag_takes_are_examined_too(recipe, monkeypatch, capsys):
    folder = recipe / "conf" / "tuning"
    folder.mkdir()
    (folder / "training_big.yaml").write_text("task: espnet2.tasks.asr.ASRTask\n")
    real = diagnosis.inspect_package
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        absent = real("espnet2")
    monkeypatch.setattr(
        diagnosis, "inspect_package", lambda name: absent if name == "espnet2" else real(name)
    )
    assert main(["doctor", str(recipe)]) == 0
    out = capsys.readouterr().out
    assert "conf/tuning/training_big.yaml cannot run: espnet is not installed (task)" in out
    assert 'pip install "espnet3[espnet2]"' in out
