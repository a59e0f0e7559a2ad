"""`python run.py …` as a user types it, on recipes without audio."""

from __future__ import annotations

import json
import shutil

import pytest

from espnet3.utils.config_utils import load_and_merge_config
from tests.recipes.toy import run_recipe, tree, write_recipe


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path / "recipe", training="seed: 1\n")


def test_the_seed_recipe_runs_its_own_stage(recipe):
    done = run_recipe(recipe, "--stages", "export_debug", "--training_config", "conf/training.yaml")
    assert done.returncode == 0, done.stderr
    assert (recipe / "exp" / "training" / "debug_export").is_dir()
    log = (recipe / "exp" / "training" / "export_debug.log").read_text()
    assert "=== [DONE] stage: export_debug" in log
    assert "Training config content:" in log
    report = json.loads((recipe / "exp/training/export_debug.run.json").read_text())
    assert report["status"] == "done"
    assert report["configs"]["training_config"]["path"].endswith("conf/training.yaml")
    assert "export_debug  done" in done.stderr


def test_the_console_stays_short(recipe):
    done = run_recipe(recipe, "--stages", "export_debug", "--training_config", "conf/training.yaml")
    assert "Cluster env" not in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_an_unknown_stage_ends_with_status_2_and_the_choices(recipe):
    done = run_recipe(recipe, "--stages", "trian")
    assert done.returncode == 2
    assert "'export_debug'" in done.stderr


def test_a_missing_config_is_one_clear_message_before_anything_is_written(recipe):
    before = tree(recipe)
    done = run_recipe(recipe, "--stages", "train", "infer")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-2:] == [
        "error: Config not provided for stage(s): train, infer. Use --training_config/"
        "--inference_config/--metrics_config/--publication_config/--demo_config.",
        "  for example --training_config conf/training.yaml",
    ]
    assert "Traceback" not in done.stderr
    assert tree(recipe) == before


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("best_model_criterio: 1\nstrict: true\n", "training.yaml:1: best_model_criterio"),
        ("num_device: many\n", "training.yaml:1: num_device = 'many'"),
        ("exp_dir: ${nowhere}\n", "nowhere"),
        ("a: [\n", "training.yaml"),
        ("model: {_target_: src.system.Nothing}\n", "src.system.Nothing"),
    ],
)
def test_a_wrong_config_is_one_clear_message_and_writes_nothing(tmp_path, yaml, expected):
    recipe = write_recipe(tmp_path / "recipe", training=yaml)
    before = tree(recipe)
    done = run_recipe(recipe, "--stages", "export_debug", "--training_config", "conf/training.yaml")
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(recipe) == before


def test_a_config_that_does_not_exist_is_named(recipe):
    done = run_recipe(recipe, "--stages", "train", "--training_config", "conf/none.yaml")
    assert done.returncode == 1
    assert "conf/none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_explained_failure_keeps_its_traceback_in_the_log(recipe):
    done = run_recipe(recipe, "--stages", "explain", "--training_config", "conf/training.yaml")
    assert done.returncode == 1
    assert "error: corpus.tar.gz is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    log = recipe / "exp" / "training" / "explain.log"
    assert str(log) in done.stderr
    assert "Traceback" in log.read_text()


def test_an_unexpected_failure_shows_its_traceback(recipe):
    done = run_recipe(recipe, "--stages", "crash", "--training_config", "conf/training.yaml")
    assert done.returncode == 1
    assert "KeyError: 'missing'" in done.stderr
    assert "Traceback" in done.stderr


def test_a_dry_run_leaves_the_folder_as_it_was_and_loads_no_torch(recipe):
    before = tree(recipe)
    run_py = recipe / "run.py"
    run_py.write_text(
        run_py.read_text()
        + "    import sys\n"
        + "    heavy = {'torch', 'lightning', 'dask', 'hydra'} & set(sys.modules)\n"
        + "    sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = run_recipe(
        recipe,
        *("--stages", "create_dataset", "export_debug"),
        *("--training_config", "conf/training.yaml", "--dry_run"),
    )
    assert done.returncode == 0, done.stderr
    assert "[DRY RUN] would run stage: create_dataset" in done.stderr
    assert tree(recipe) == before


def test_set_overrides_a_value_and_is_kept_in_the_snapshot(recipe):
    done = run_recipe(
        recipe,
        *("--stages", "export_debug", "--training_config", "conf/training.yaml"),
        *("--set", "training.exp_tag=other", "--set", "training.seed=5"),
    )
    assert done.returncode == 0, done.stderr
    snapshot = recipe / "exp" / "other" / "export_debug.config" / "training_config.yaml"
    assert "seed: 5" in snapshot.read_text()
    report = json.loads((recipe / "exp" / "other" / "export_debug.run.json").read_text())
    assert report["overrides"] == ["training.exp_tag=other", "training.seed=5"]


ODD = """
seed: 1
strict: true
optimizer: {_target_: torch.optim.SGD, lr: 0.5}
override scheduler: {_target_: torch.optim.lr_scheduler.ConstantLR}
create_dataset: {text: 'a: b', list: [1, {a: '${seed}'}]}
dataset: {override preprocessor: {_target_: src.system.RecipeSystem}}
trainer: {callbacks: null, override logger: false}
"""


def test_a_snapshot_given_back_gives_the_same_run(tmp_path):
    recipe = write_recipe(tmp_path / "recipe", training=ODD)
    words = ("--stages", "export_debug", "--training_config")
    assert run_recipe(recipe, *words, "conf/training.yaml").returncode == 0
    snapshot = recipe / "exp/training/export_debug.config/training_config.yaml"
    first = snapshot.read_text()
    again = shutil.copy(snapshot, recipe / "conf" / "again.yaml")
    done = run_recipe(recipe, *words, str(again))
    assert done.returncode == 0, done.stderr
    assert snapshot.read_text() == first
    assert (recipe / "exp/training/export_debug1.config/training_config.yaml").read_text() == first
    config = load_and_merge_config(again, "training.yaml", "egs3.TEMPLATE.asr")
    assert config.scheduler == {
        "_target_": "torch.optim.lr_scheduler.ConstantLR",
        "_convert_": "all",
    }


def test_a_misspelt_set_is_refused(recipe):
    done = run_recipe(
        recipe,
        *("--stages", "export_debug", "--training_config", "conf/training.yaml"),
        *("--set", "training.sead=5"),
    )
    assert done.returncode == 1
    assert "training.sead=5" in done.stderr


def test_a_second_run_rotates_the_log(recipe):
    for _ in range(2):
        run_recipe(recipe, "--stages", "export_debug", "--training_config", "conf/training.yaml")
    names = {path.name for path in (recipe / "exp" / "training").iterdir()}
    assert {"export_debug.log", "export_debug1.log", "export_debug1.run.json"} <= names


def test_a_killed_stage_is_visible_and_the_same_command_runs_again(recipe):
    folder = recipe / "exp" / "training"
    (recipe / "src" / "system.py").write_text(
        "import os, signal\n"
        "from espnet3.systems.asr.system import ASRSystem\n"
        "class RecipeSystem(ASRSystem):\n"
        "    def export_debug(self):\n"
        "        if not (self.exp_dir / 'export_debug1.log').exists():\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    words = ("--stages", "export_debug", "--training_config", "conf/training.yaml")
    run_py = recipe / "run.py"
    run_py.write_text(run_py.read_text().replace('"explain",\n    "crash",\n', ""))
    assert run_recipe(recipe, *words).returncode == -9
    assert json.loads((folder / "export_debug.run.json").read_text())["status"] == "running"
    assert run_recipe(recipe, *words).returncode == 0
    assert json.loads((folder / "export_debug.run.json").read_text())["status"] == "done"
    assert json.loads((folder / "export_debug1.run.json").read_text())["status"] == "running"


def test_another_working_directory_is_warned_about(recipe, tmp_path):
    done = run_recipe(
        recipe,
        *("--stages", "export_debug"),
        *("--training_config", str(recipe / "conf" / "training.yaml")),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "the working directory is" in done.stderr
