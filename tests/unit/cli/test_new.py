"""`espnet3 new` makes a whole recipe or nothing, and touches nothing that exists."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from espnet3.cli import new, recipe_sources
from espnet3.cli.main import main
from espnet3.components.data import audio
from espnet3.errors import ConfigError
from tests.conftest import REPO_ROOT


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_recipe_from_the_template_gets_its_own_name(folder, capsys):
    assert main(["new", "my-digits/asr"]) == 0
    recipe = folder / "my-digits" / "asr"
    assert "cd my-digits/asr" in capsys.readouterr().out
    assert (recipe / "readme.md").read_text().startswith("# my-digits / asr\n")
    assert "your-name/my-digits_asr" in (recipe / "conf/publication.yaml").read_text()
    assert not any("my_corpus" in p.read_text() for p in recipe.rglob("*") if p.is_file())
    assert tree(recipe) >= {
        "run.py", "readme.md", "dataset/__init__.py", "dataset/dataset.py", "src/tokenizer.py",
        "conf/training.yaml", "conf/inference.yaml", "conf/metrics.yaml",
    }  # fmt: skip


def test_a_name_cannot_break_the_files(folder):
    assert main(["new", 'my: "corpus" #1/asr']) == 0
    text = (folder / 'my: "corpus" #1/asr/conf/publication.yaml').read_text()
    assert "your-name/my___corpus___1_asr #" in text


@pytest.mark.parametrize(
    "name", sorted(n for n, s in recipe_sources.find_sources().items() if not s.is_template)
)
def test_a_copy_has_all_files_of_the_shipped_recipe(folder, name):
    assert main(["new", "copy", "--from", name]) == 0
    original = REPO_ROOT / "egs3" / name
    made = {"data", "exp", "downloads", "logs"}
    expected = {p for p in tree(original) if p.split("/")[0] not in made and ".pyc" not in p}
    assert tree(folder / "copy") == expected
    for path in expected - {"readme.md"}:
        assert (folder / "copy" / path).read_bytes() == (original / path).read_bytes()
    assert "cd egs3" not in (folder / "copy/readme.md").read_text()


def test_what_stages_made_is_not_copied(tmp_path):
    source = tmp_path / "source"
    for name in ("run.py", "data/a.wav", "exp/b.ckpt", "src/__pycache__/c.pyc", "conf/data/d.yaml"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    files = recipe_sources.RecipeSource("x/asr", source).files()
    assert [path.as_posix() for path in files] == ["conf/data/d.yaml", "run.py"]


def test_an_empty_folder_is_filled(folder):
    (folder / "mine" / "asr").mkdir(parents=True)
    assert main(["new", "mine/asr"]) == 0
    assert (folder / "mine/asr/run.py").is_file()


@pytest.mark.parametrize("existing", ["mine/asr/conf/training.yaml", "mine/asr", "mine"])
def test_nothing_that_exists_is_overwritten(folder, capsys, existing):
    path = folder / existing
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("precious")
    before = tree(folder)
    assert main(["new", "mine/asr"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path} exists")
    assert path.read_text() == "precious"
    assert tree(folder) == before


def test_a_dangling_link_is_not_followed(folder, capsys):
    (folder / "mine").symlink_to(folder / "nowhere")
    assert main(["new", "mine/asr"]) == 1
    assert f"{folder / 'mine'} exists" in capsys.readouterr().err


def test_a_folder_that_is_filled_meanwhile_stays_as_it_is(folder, monkeypatch):
    def fill(*args):
        (folder / "mine" / "asr").mkdir(parents=True, exist_ok=True)
        (folder / "mine" / "asr" / "precious").write_text("")

    monkeypatch.setattr(new, "_copy", fill)
    source = recipe_sources.find_source("TEMPLATE/asr")
    with pytest.raises((ConfigError, OSError)):
        new.create_recipe(source, folder / "mine" / "asr")
    assert tree(folder) == {"mine/asr/precious"}


def test_an_error_on_the_way_leaves_nothing(folder, monkeypatch, capsys):
    copies = iter(range(3))

    def fail(*args):
        if next(copies, None) is None:
            raise OSError("disk full")

    monkeypatch.setattr(new, "_copy", fail)
    assert main(["new", "mine/asr"]) == 1
    assert capsys.readouterr().err == "error: disk full\n"
    assert tree(folder) == set() and not any((folder / "mine").iterdir())


def test_a_killed_process_leaves_no_half_recipe(folder):
    code = (
        "import os, signal\nfrom espnet3.cli import new\nfrom espnet3.cli.main import main\n"
        "copy, left = new._copy, iter(range(4))\n"
        "def killer(*args):\n"
        "    copy(*args)\n"
        "    next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL)\n"
        "new._copy = killer\nmain(['new', 'mine/asr'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO_ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment)
    assert done.returncode < 0
    assert not (folder / "mine" / "asr").exists()
    assert main(["new", "mine/asr"]) == 0
    assert (folder / "mine/asr/conf/training.yaml").is_file()


def test_of_two_at_a_time_one_wins_whole(folder):
    source = recipe_sources.find_source("TEMPLATE/asr")
    outcomes = []

    def make():
        try:
            new.create_recipe(source, folder / "mine" / "asr")
            outcomes.append("made")
        except ConfigError:
            outcomes.append("refused")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]
    assert len(tree(folder / "mine" / "asr")) == len(source.files())


def test_unknown_sources_are_answered_with_the_known_ones(capsys):
    assert main(["new", "mine/asr", "--from", "mini_digit/asr"]) == 1
    error = capsys.readouterr().err
    assert 'did you mean "mini_digits/asr"' in error and "TEMPLATE/asr, " in error
    assert main(["new", "mine/nonsense"]) == 1
    error = capsys.readouterr().err
    assert "the last part of the folder is the task" in error
    assert "no TEMPLATE/nonsense to copy\n  for example: espnet3 new mine/nonsense/asr" in error
    assert main(["new"]) == 1
    assert "espnet3 new my_corpus/asr" in capsys.readouterr().err


def test_the_list_says_what_each_recipe_is(capsys):
    assert main(["new", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("TEMPLATE/asr ")
    assert any(line.startswith("mini_digits/asr") and "synthesiser" in line for line in lines)


def test_a_template_without_starter_is_copied_as_it_is(folder, monkeypatch):
    template = folder / "egs3" / "TEMPLATE" / "codec"
    for name in ("run.py", "conf/training.yaml", "src/__init__.py"):
        path = template / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# my_corpus\n")
    monkeypatch.setattr(recipe_sources, "_roots", lambda: [folder / "egs3"])
    assert main(["new", "mine/codec"]) == 0
    assert tree(folder / "mine" / "codec") == tree(template)
    assert (folder / "mine/codec/run.py").read_text() == "# mine\n"


def run_builder(recipe, rows):
    """Run the builder of a made recipe on one list of three columns; return what it says."""
    (recipe / "list.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    code = (
        "from dataset import DatasetBuilder\nfrom espnet3.errors import DataError\ntry:\n"
        "    DatasetBuilder().build(data_dir='data', lists={'train': 'list.tsv'})\n"
        "except DataError as error:\n    print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", str(REPO_ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=recipe, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_new_recipe_names_the_line_of_a_list_that_is_wrong(folder):
    assert main(["new", "mine/asr"]) == 0
    recipe = folder / "mine/asr"
    for name, channels in (("mono", 1), ("stereo", 2)):
        audio.write(recipe / f"{name}.wav", np.zeros((160, channels)), 16000)
    mono = ("a", "mono.wav", "one")
    text = run_builder(recipe, [mono, ("b", "stereo.wav", "two"), ("c", "mono.wav", " ")])
    assert "2 problems in the lists" in text
    assert "list.tsv:2: b: " in text and "has 2 channels" in text
    assert "list.tsv:3: c: has no transcript" in text
    text = run_builder(recipe, [("utt_id", "audio", "text"), mono])
    assert "list.tsv:1: utt_id: there is no audio file" in text and "no header line" in text
    assert run_builder(recipe, [mono]) == ""
