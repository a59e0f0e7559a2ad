"""What a light import loads, measured in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO_ROOT
from tests.recipes.shipped import copy_recipe

# attr is an optional import of OmegaConf; other packages of the environment bring it.
LIGHT_THIRD_PARTY = {"omegaconf", "antlr4", "yaml", "_yaml", "attr"}
REPORT = "import json, sys; print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"


def _loaded_packages(code: str, cwd: Path = REPO_ROOT) -> set[str]:
    """Return the top-level packages that are loaded after running ``code`` in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{REPORT}"],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(REPO_ROOT), "PATH": "/usr/bin:/bin"},
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def _third_party(code: str, cwd: Path = REPO_ROOT) -> set[str]:
    """Packages that ``code`` loads beyond the standard library and what Python itself loads."""
    ours = {"espnet3", "egs3", "src", "dataset", "__main__"}
    found = _loaded_packages(code, cwd) - _loaded_packages("pass") - ours
    # The C extension of PyYAML registers the runtime of Cython under these names.
    found = {name for name in found if not name.startswith(("_cython", "cython_runtime"))}
    return {name for name in found if name not in sys.stdlib_module_names}


def test_importing_espnet3_loads_nothing_else() -> None:
    assert _third_party("import espnet3") == set()


@pytest.mark.parametrize(
    "module",
    [
        "espnet3.utils.config_utils",
        "espnet3.utils.run_utils",
        "espnet3.utils.stages_utils",
        "espnet3.utils.logging_utils",
        "espnet3.utils.publish_utils",
        "espnet3.systems.base.system",
        "espnet3.systems.base.training",
        "espnet3.systems.base.inference",
        "espnet3.systems.base.metric",
        "espnet3.systems.asr.system",
        "espnet3.publication",
        "espnet3.demo.run_checks",
        "espnet3.demo.settings",
        "egs3.TEMPLATE.asr.run",
    ],
)
def test_modules_on_the_way_to_help_load_only_omegaconf_and_yaml(module: str) -> None:
    assert _third_party(f"import {module}") <= LIGHT_THIRD_PARTY


@pytest.mark.parametrize(
    "module",
    [
        f"espnet3.demo.{name}"
        for name in ("pack", "setup", "resolve", "runtime", "ui", "app_builder")
    ]
    + ["espnet3.utils.publish_utils", "espnet3.publication"],
)
def test_publication_and_demo_import_without_optional_packages(module: str) -> None:
    optional = ("gradio", "espnet2", "espnet_model_zoo", "huggingface_hub", "safetensors")
    blocked = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in optional)
    _loaded_packages(f"{blocked}import {module}")


@pytest.mark.parametrize("recipe", ["mini_digits", "fsdd", "mini_an4", "TEMPLATE"])
def test_run_help_loads_the_standard_library_only(recipe: str) -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['run.py', '--help']\n"
        "try:\n    runpy.run_path('run.py', run_name='__main__')\nexcept SystemExit:\n    pass"
    )
    assert _third_party(code, REPO_ROOT / "egs3" / recipe / "asr") == set()


@pytest.mark.parametrize("module", ["espnet3", "espnet3.utils.config_utils", "espnet3.publication"])
def test_importing_has_no_side_effects(module: str) -> None:
    code = (
        "import logging, os, sys, warnings\n"
        "before = (dict(os.environ), list(sys.path), list(warnings.filters),"
        " list(logging.getLogger().handlers), logging.getLogger().level)\n"
        f"import {module}\n"
        "after = (dict(os.environ), list(sys.path), list(warnings.filters),"
        " list(logging.getLogger().handlers), logging.getLogger().level)\n"
        "assert before == after, (before, after)"
    )
    _loaded_packages(code)


def test_no_module_but_the_tasks_imports_espnet2() -> None:
    code = """
import importlib, pkgutil, sys
import espnet3

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Guard())
failed = []
for info in pkgutil.walk_packages(espnet3.__path__, "espnet3."):
    if info.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(info.name)
    except AssertionError:
        failed.append(info.name)
assert failed == TASKS, failed
"""
    refused = {"espnet", "espnet2", "espnet_model_zoo", "kaldiio"}
    tasks = ["espnet3.systems.asr.task", "espnet3.systems.asr.transducer_task"]
    _loaded_packages(f"REFUSED = {refused!r}\nTASKS = {tasks!r}\n{code}")


STAGES = ["create_dataset", "train_tokenizer", "collect_stats", "train", "infer", "measure"]


def plan_run(tmp_path: Path, *stages: str) -> set[str]:
    """Return the modules that the plan of a run loads."""
    slots = ("training", "inference", "metrics", "publication")
    words = [word for slot in slots for word in (f"--{slot}_config", f"conf/{slot}.yaml")]
    run = f"import runpy, sys; sys.path.insert(0, ''); sys.argv = {['run.py', *words]}"
    run += f" + ['--stages', *{stages}, '--dry_run']; runpy.run_path('run.py', run_name='__main__')"
    code = f"{run}\nprint('modules', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy_recipe("mini_digits/asr", tmp_path),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(REPO_ROOT), "PATH": "/usr/bin:/bin"},
    )
    return set(done.stdout.splitlines()[-1].split())


def test_a_run_plan_loads_neither_the_stages_nor_slow_parts_of_the_standard_library(
    tmp_path: Path,
) -> None:
    loaded = plan_run(tmp_path, *STAGES)
    slow = {"asyncio", "hashlib", "importlib.metadata", "pickle", "socket", "zipfile", "numpy"}
    stages_of = {f"espnet3.systems.base.{name}" for name in ("inference", "metric", "training")}
    assert "espnet3.systems.base.inference_plan" in loaded
    assert loaded & {*slow, *stages_of, "espnet3.parallel.parallel"} == set()


def test_the_plan_of_a_bundle_loads_no_torch(tmp_path: Path) -> None:
    loaded = plan_run(tmp_path, *STAGES, "pack_model")
    assert "espnet3.publication.upload_plan" in loaded
    heavy = {"torch", "lightning", "hydra", "dask", "huggingface_hub", "numpy", "soundfile"}
    assert loaded & heavy == set()
