from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from espnet3.utils.env_report import (
    get_git_metadata,
    log_env_metadata,
    log_run_metadata,
    package_versions,
)

pytestmark = pytest.mark.usefixtures("clean_logging")


@pytest.fixture
def messages(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_run_metadata_says_each_fact_once(messages, tmp_path):
    configs = {"Training": tmp_path / "training.yaml", "Inference": None}
    log_run_metadata(logging.getLogger("x"), argv=["run.py", "--stages", "a b"], configs=configs)
    lines = messages()
    assert f"Command: {sys.executable} run.py --stages 'a b'" in lines
    assert f"Training config: {tmp_path / 'training.yaml'}" in lines
    assert not any(line.startswith("Inference config") for line in lines)
    heads = [line.split(":")[0] for line in lines]
    for head in ("Started", "Command", "Python", "Working directory"):
        assert heads.count(head) == 1


def test_metadata_names_the_line_of_the_caller(caplog):
    caplog.set_level(logging.INFO)
    log_run_metadata(logging.getLogger("x"), argv=["run.py"])
    log_env_metadata(logging.getLogger("x"), load_torch=False)
    assert {record.filename for record in caplog.records} == {Path(__file__).name}


def test_the_git_line_describes_the_work_tree(tmp_path):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q", "-b", "topic"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    clean = get_git_metadata(tmp_path)
    (tmp_path / "new").write_text("")
    assert clean["branch"] == "topic"
    assert clean["worktree"] == "clean"
    assert clean["commit"].startswith(clean["short_commit"])
    assert get_git_metadata(tmp_path)["worktree"] == "dirty"


def test_git_metadata_outside_a_work_tree_is_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert set(get_git_metadata(tmp_path).values()) == {None}
    monkeypatch.setenv("PATH", "")
    assert set(get_git_metadata(tmp_path).values()) == {None}


def test_requirements_are_written_next_to_the_log_file(tmp_path, clean_logging):
    clean_logging.addHandler(logging.FileHandler(tmp_path / "train.log"))
    log_run_metadata(logging.getLogger("x"), argv=[], write_requirements=True)
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    assert any(line.startswith("omegaconf==") for line in lines)


def test_requirements_without_a_log_file_are_skipped_with_a_warning(messages):
    log_run_metadata(logging.getLogger("x"), argv=[], write_requirements=True)
    assert any("requirements.txt is not written" in line for line in messages())


def test_env_metadata_has_two_blocks_with_secrets_masked(messages, monkeypatch):
    monkeypatch.setenv("SLURM_JWT", "abc")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    log_env_metadata(logging.getLogger("x"), load_torch=False)
    cluster, runtime, torch_line = messages()
    assert cluster.startswith("Cluster env:\n")
    assert "SLURM_JOB_ID=7" in cluster
    assert "SLURM_JWT=***" in cluster
    assert "OMP_NUM_THREADS=1" in runtime
    assert torch_line.startswith("PyTorch: version=")


def test_empty_blocks_say_none(messages):
    log_env_metadata(logging.getLogger("x"), ["ZZ_"], ["ZZ_"], [], load_torch=False)
    assert messages()[:2] == ["Cluster env:\n(none)", "Runtime env:\n(none)"]


def test_the_torch_line_reports_cuda_and_cudnn(messages):
    log_env_metadata(logging.getLogger("x"))
    line = messages()[-1]
    for fact in ("cuda.available=", "cudnn.version=", "cudnn.benchmark=", "cudnn.deterministic="):
        assert fact in line


def test_absent_packages_have_no_version():
    assert package_versions(["surely-not-installed", "omegaconf"]).keys() == {"omegaconf"}
