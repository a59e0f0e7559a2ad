"""`espnet3 check` finds what run.py would stop at, and more than one thing at a time."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from espnet3.cli.main import main
from espnet3.cli.recipe_script import RecipeScript, read_recipe_script
from espnet3.errors import ConfigError
from tests.conftest import REPO_ROOT


@pytest.fixture(autouse=True)
def process_state(monkeypatch, tmp_path):
    """Undo what activating a recipe changes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))


@pytest.fixture
def recipe(tmp_path):
    assert main(["new", "mine/asr"]) == 0
    return tmp_path / "mine" / "asr"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_correct_recipe_has_one_line_per_slot(recipe, capsys):
    capsys.readouterr()
    assert main(["check", str(recipe)]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "conf/training.yaml", "conf/inference.yaml", "conf/metrics.yaml", "conf/publication.yaml",
    ]  # fmt: skip
    assert all(line.split()[1] == "ok," for line in lines)


@pytest.mark.parametrize("name", ["mini_digits/asr", "mini_digits/asr_curriculum", "fsdd/asr"])
def test_shipped_recipes_are_correct(name, capsys):
    assert main(["check", str(REPO_ROOT / "egs3" / name)]) == 0, capsys.readouterr().out


def test_all_mistakes_are_shown_with_place_cause_and_remedy(recipe, monkeypatch, capsys):
    edit(recipe / "conf/training.yaml", "max_epochs: 50", "max_epoch: 50")
    edit(recipe / "conf/inference.yaml", "${exp_dir}/training.yaml", "${exp_dri}/training.yaml")
    edit(recipe / "conf/metrics.yaml", "strict: true", "strict: [")
    monkeypatch.chdir(recipe)
    capsys.readouterr()
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    number = (recipe / "conf/training.yaml").read_text().splitlines().index("  max_epoch: 50") + 1
    assert f"error: conf/training.yaml:{number}: trainer.max_epoch: is not a key" in out
    assert '  did you mean "max_epochs"' in out
    assert "error: conf/metrics.yaml:" in out
    assert "conf/metrics.yaml      cannot be read" in out
    assert "conf/training.yaml     1 finding\n" in out
    edit(recipe / "conf/metrics.yaml", "strict: [", "strict: true")
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "refers to exp_dri, which does not exist" in out and "max_epoch:" in out


def test_overrides_are_checked_like_files(recipe, capsys):
    capsys.readouterr()
    assert main(["check", str(recipe), "--set", "training.sed=1", "--set", "inference.x.y=1"]) == 1
    out = capsys.readouterr().out
    assert "--set training.sed=1: sed" in out and "--set inference.x.y=1: x.y" in out
    assert "conf/training.yaml     1 finding" in out
    assert main(["check", str(recipe), "--set", "training.seed=1"]) == 0


def test_a_file_that_an_override_names_is_not_blamed_on_the_configuration(recipe, capsys):
    override = "publication.pack_model.include=[runn.py]"
    assert main(["check", str(recipe), "--set", override]) == 1
    assert f"--set {override}: pack_model.include[0] = 'runn.py'" in capsys.readouterr().out


def test_a_warning_does_not_change_the_status(recipe, capsys):
    edit(recipe / "conf/metrics.yaml", "strict: true", "note: mine")
    assert main(["check", str(recipe)]) == 0
    assert "warning: conf/metrics.yaml:2: note: is not a key" in capsys.readouterr().out


def test_files_on_their_own_are_checked_for_their_slot(recipe, monkeypatch, capsys):
    (recipe / "conf/training_small.yaml").write_text("trainer: {max_epoch: 1}\n")
    capsys.readouterr()
    assert main(["check", str(recipe / "conf/training_small.yaml")]) == 1
    assert "conf/training_small.yaml:1: trainer.max_epoch" in capsys.readouterr().out
    assert main(["check", str(recipe / "conf/inference.yaml")]) == 0
    assert main(["check", str(recipe)]) == 0
    assert "not checked" in capsys.readouterr().out


def test_paths_that_make_no_sense_are_refused(recipe, tmp_path, capsys):
    conf = recipe / "conf"
    (conf / "other.yaml").write_text("")
    (conf / "training_b.yaml").write_text("")
    (tmp_path / "empty").mkdir()
    for words, text in [
        ([tmp_path / "none"], "no such file or folder"),
        ([tmp_path / "empty"], "there is none of conf/training.yaml"),
        ([recipe, tmp_path], "name one recipe"),
        ([conf / "other.yaml"], "must start with one of: training"),
        ([conf / "training.yaml", conf / "training_b.yaml"], "check one at a time"),
    ]:
        assert main(["check", *map(str, words)]) == 1
        assert text in capsys.readouterr().err


CURRICULUM = """
from egs3.TEMPLATE.asr.run import build_parser, main, parse_cli_and_stage_args
from espnet3.systems.asr.system import ASRSystem
class MySystem(ASRSystem):
    pass
STAGES = [*("create_dataset", "train_easy"), "train_full", "upload_model"]
EXTRA = {f"training_{phase}_config": "training.yaml" for phase in ("easy", "full")}
NEEDS = {**dict.fromkeys(["create_dataset"], "training_full_config"),
         "train_easy": ["training_easy_config"], "train_full": "training_other_config"}
if __name__ == "__main__":
    args, _ = parse_cli_and_stage_args(build_parser(STAGES), STAGES)
    main(args=args, system_cls=MySystem, extra_configs=EXTRA, required_configs=NEEDS,
         naming_source="training_full_config")
"""


def test_slots_stages_and_system_of_the_recipes_own_come_from_run_py(recipe, capsys):
    (recipe / "run.py").write_text(CURRICULUM)
    script = read_recipe_script(recipe)
    assert script.naming_source == "training_full_config"
    assert script.system_cls.__name__ == "MySystem"
    assert script.stages == ("create_dataset", "train_easy", "train_full", "upload_model")
    found = dict.fromkeys(["training_full_config", "training_easy_config", "publication_config"], 1)
    assert script.runnable_stages(found) == ["create_dataset", "train_easy"]
    (recipe / "conf/training.yaml").rename(recipe / "conf/training_full.yaml")
    (recipe / "conf/training_easy.yaml").write_text("trainer: {max_epoch: 1}\n")
    capsys.readouterr()
    assert main(["check", str(recipe)]) == 1
    out = capsys.readouterr().out
    assert "conf/training_full.yaml  ok" in out
    assert "conf/training_easy.yaml:1: trainer.max_epoch" in out


def test_a_file_that_another_one_includes_counts_as_checked(recipe, capsys):
    (recipe / "conf/training_more.yaml").write_text("seed: 3\n")
    assert main(["check", str(recipe)]) == 0
    assert "not checked: training_more.yaml" in capsys.readouterr().out
    edit(recipe / "conf/training.yaml", "seed: 1", "defaults: [training_more]")
    assert main(["check", str(recipe)]) == 0
    assert "not checked" not in capsys.readouterr().out


def test_stages_are_checked_with_the_system_of_the_recipe(recipe, capsys):
    edit(recipe / "conf/inference.yaml", "${exp_dir}/training.yaml", "${exp_dir}/trainign.yaml")
    assert main(["check", str(recipe)]) == 1
    assert "trainign.yaml" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import x\ndef f(:\n", r"run\.py:2: "),
        ("import no_such_module\n", r"run\.py: cannot be imported: ModuleNotFoundError: .*no_such"),
        ("1 / 0\n", r"run\.py: cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_script_that_cannot_be_imported_is_a_mistake(recipe, text, message, capsys):
    (recipe / "run.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_recipe_script(recipe)
    assert main(["check", str(recipe)]) == 1
    assert capsys.readouterr().err.startswith("error: run.py")


@pytest.mark.parametrize(
    "text",
    [
        "main(x, naming_source='easy_config')\n",
        "if True:\n    main(x, naming_source='easy_config')\n",
        "args, _ = parse_cli_and_stage_args(build_parser(['train']), ['train'])\n"
        "if __name__ == '__main__':\n    main(args, naming_source='easy_config')\n",
    ],
)
def test_a_script_without_guard_is_not_run(tmp_path, text):
    (tmp_path / "run.py").write_text("from egs3.TEMPLATE.codec.run import main\n" + text)
    script = read_recipe_script(tmp_path)
    assert script.template_package == "egs3.TEMPLATE.codec"
    assert (script.naming_source, script.system_cls) == ("easy_config", None)


def test_flags_of_the_recipe_are_slots(tmp_path):
    text = (
        "parser.add_argument('--training_easy_config')\nparser.add_argument('--beam', type=int)\n"
    )
    (tmp_path / "run.py").write_text(
        f"if __name__ == '__main__':\n    {text.replace(chr(10), ';')}"
    )
    assert read_recipe_script(tmp_path).extra_configs == {"training_easy_config": "training.yaml"}


def test_only_stages_with_all_their_configurations_count():
    paths = {"inference_config": "x", "publication_config": "y"}
    assert RecipeScript().runnable_stages(paths) == ["infer"]


def test_the_check_takes_less_than_a_second_and_loads_no_torch(recipe):
    code = (
        "import sys; from espnet3.cli.main import main; status = main(['check'])\n"
        "heavy = {'torch', 'lightning', 'hydra', 'dask', 'numpy'} & set(sys.modules)\n"
        "assert status == 0 and not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO_ROOT)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=recipe, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The target is half of this on an idle machine.
    assert spent < 2.0
