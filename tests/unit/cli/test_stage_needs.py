"""What the table says, and what configurations add to it."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.cli.stage_needs import COMMON_PACKAGES, STAGE_PACKAGES, needs_of_stage
from espnet3.utils.package_requirements import read_requirements
from espnet3.utils.stage_table import STAGES


def needs(stage, folder, **sections):
    return needs_of_stage(stage, OmegaConf.create(sections), folder)


def added(stage, folder, **sections):
    """Needs beyond the table, without reasons."""
    table = {*COMMON_PACKAGES, *STAGE_PACKAGES[stage]}
    return {(n.kind, n.name) for n in needs(stage, folder, **sections) if n.name not in table}


def test_the_table_covers_all_stages_with_packages_that_we_require():
    assert set(STAGE_PACKAGES) == set(STAGES)
    known = read_requirements()
    for names in STAGE_PACKAGES.values():
        assert set(names) | set(COMMON_PACKAGES) <= set(known)


def test_every_target_needs_its_package(tmp_path):
    logger = {"_target_": "lightning.pytorch.loggers.WandbLogger"}
    sections = {"model": {"_target_": "transformers.AutoModel"}, "trainer": {"logger": [logger]}}
    assert added("train", tmp_path, **sections) == {
        ("package", "transformers"),
        ("package", "wandb"),
    }
    assert added("collect_stats", tmp_path, **sections) == {("package", "transformers")}
    reasons = {need.name: need.reason for need in needs("train", tmp_path, **sections)}
    assert reasons["transformers"] == "model._target_" and "trainer.logger" in reasons["wandb"]


def test_an_espnet2_task_needs_espnet2(tmp_path):
    assert added("train", tmp_path, task="espnet2.tasks.asr.ASRTask") == {("package", "espnet2")}


@pytest.mark.parametrize(
    ("parallel", "expected"),
    [
        ({"env": "local", "n_workers": 1}, set()),
        ({"env": "local", "n_workers": 2}, {"dask", "distributed"}),
        ({"env": "slurm"}, {"dask", "distributed", "dask_jobqueue", "sbatch"}),
        ({"env": "kube"}, {"dask", "distributed", "dask_kubernetes"}),
        ({"env": "ssh"}, {"dask", "distributed", "asyncssh"}),
        ({"env": "local_gpu", "n_workers": 2}, {"dask", "distributed", "2"}),
    ],
)
def test_parallel_environments_need_their_packages_and_commands(tmp_path, parallel, expected):
    assert {name for _, name in added("infer", tmp_path, parallel=parallel)} == expected


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"accelerator": "auto", "devices": 4}, set()),
        ({"accelerator": "gpu", "devices": 4}, {("gpu", "4")}),
        ({"accelerator": "cuda", "devices": [0, 2]}, {("gpu", "2")}),
        ({"accelerator": "gpu", "devices": "auto"}, {("gpu", "1")}),
    ],
)
def test_training_on_gpus_needs_as_many(tmp_path, trainer, expected):
    assert added("train", tmp_path, trainer=trainer) == expected


def test_code_of_the_recipe_adds_its_imports_where_it_is_used(tmp_path):
    for name, text in {
        "dataset/__init__.py": "import pandas\n",
        "dataset/builder.py": "def build():\n    import librosa\n",
        "src/model.py": "import einops\n",
        "src/unused.py": "import nothing_needs_this\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    sections = {"dataset": {"train": [{"name": "x"}]}, "model": {"_target_": "src.model.M"}}
    module = ("file", str(tmp_path / "dataset/__init__.py"))
    pandas, librosa, einops = (("package", n) for n in ("pandas", "librosa", "einops"))
    assert added("create_dataset", tmp_path, **sections) == {module, pandas, librosa}
    assert added("train", tmp_path, **sections) == {module, pandas, einops}
    assert added("train_tokenizer", tmp_path, **sections) == set()


def test_the_module_of_another_recipe_counts_too(tmp_path):
    sections = {"dataset": {"train": [{"data_src": "mini_digits/asr"}]}}
    found = added("create_dataset", tmp_path, **sections)
    assert ("package", "espeakng_loader") in found
    assert any(kind == "file" and "egs3/mini_digits/asr/dataset" in name for kind, name in found)
    sections = {"dataset": {"train": [{"data_src": "no_such/asr"}]}}
    assert added("create_dataset", tmp_path, **sections) == {("file", "no_such/asr")}
