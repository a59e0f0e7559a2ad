from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from espnet3.demo import pinning
from espnet3.demo.pack import pack_demo
from espnet3.demo.resolve import load_demo_config
from espnet3.demo.runtime import build_runtime, run_inference
from espnet3.errors import BundleError, ConfigError, HubError, MissingFileError
from espnet3.utils import publish_utils
from tests.unit.demo.conftest import make_system, tone
from tests.unit.publication.conftest import write

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A recipe with an inference configuration, and the working directory of the test."""
    folder = tmp_path / "recipe"
    model = {"_target_": "tests.unit.demo.backends.Length"}
    write(folder / "conf" / "inference.yaml", {"model": model, "input_key": "speech"})
    monkeypatch.chdir(folder)
    return folder


def config(**changes) -> dict:
    given = {"system": "asr", "infer_config": "conf/inference.yaml", "pack": {"out_dir": "demo"}}
    return {**given, **changes}


def read(path: Path):
    return yaml.safe_load(path.read_text())


def test_a_demo_has_its_five_files_and_nothing_of_this_machine(root):
    demo = pack_demo(make_system(config(ui={"title": "Mine"}, recipe_dir=".")))
    assert demo == Path("demo")
    names = {p.relative_to(demo).as_posix() for p in demo.rglob("*") if p.is_file()}
    assert names == {
        "demo.yaml", "config/infer.yaml", "app.py", "requirements.txt", "README.md",
        ".demo_manifest.json",
    }  # fmt: skip
    written = read(demo / "demo.yaml")
    assert written["infer_config"] == "config/infer.yaml" and written["demo_dir"] == "."
    assert written["ui"] == {"title": "Mine", "article_path": "README.md"}
    assert "pack" not in written and "recipe_dir" not in written
    assert read(demo / "config" / "infer.yaml")["recipe_dir"] == "."
    text = "".join(path.read_text() for path in demo.rglob("*") if path.is_file())
    assert str(root) not in text and str(Path.home()) + "/" not in text


def test_the_readme_is_one_that_a_space_reads(root):
    demo = pack_demo(make_system(config(ui={"title": "Mine", "description": "What it does."})))
    _, block, text = (demo / "README.md").read_text().split("---\n", 2)
    fields = yaml.safe_load(block)
    assert (fields["title"], fields["sdk"], fields["app_file"]) == ("Mine", "gradio", "app.py")
    assert fields["sdk_version"] and fields["suggested_hardware"]
    assert "# Mine\n" in text and "What it does." in text and "Creator: ada" in text
    assert "${" not in text and "Packed:" not in text


@pytest.mark.parametrize("place", ["pack", "top"])
def test_a_template_of_ones_own_fills_the_readme(root, place):
    write(root / "card.md", "---\nsdk: gradio\n---\n# $title by $creator, $pack_strategy\n")
    setting = {"readme_template": "card.md"}
    changes = {"pack": {"out_dir": "demo", **setting}} if place == "pack" else setting
    demo = pack_demo(make_system(config(recipe_dir=".", **changes)))
    assert (demo / "README.md").read_text().endswith("# ASR Demo by ada, demo\n")


def test_packing_again_replaces_what_it_packed_and_nothing_else(root):
    write(root / "a.txt", "a")
    write(root / "more" / "b.txt", "b")
    files = {"out_dir": "demo", "files": ["a.txt", "more"]}
    demo = pack_demo(make_system(config(pack=files)))
    assert (demo / "more" / "b.txt").read_text() == "b"
    write(demo / "README.md", "edited\n")
    write(demo / "notes.txt", "of the user\n")
    write(demo / "more" / "mine.txt", "of the user\n")
    write(demo / "demo.yaml", "broken: [")
    pack_demo(make_system(config()))
    assert not (demo / "a.txt").exists() and not (demo / "more" / "b.txt").exists()
    assert (demo / "README.md").read_text() == "edited\n"
    assert (demo / "notes.txt").exists() and (demo / "more" / "mine.txt").exists()
    assert read(demo / "demo.yaml")["system"] == "asr"
    assert "a.txt" not in json.loads((demo / ".demo_manifest.json").read_text())["files"]


def test_places_of_listed_files(root, tmp_path):
    outside = write(tmp_path / "elsewhere" / "list.txt", "x")
    below = write(root / "data" / "tokens.txt", "y")
    files = [str(outside), str(below), "data/tokens.txt", {"src": "data", "dst": "other/place"}]
    write(root / "data" / "skip.log", "z")
    pack = {"out_dir": "demo", "files": files, "exclude": ["*.log"]}
    demo = pack_demo(make_system(config(pack=pack)))
    assert (demo / "list.txt").read_text() == "x"
    assert (demo / "data" / "tokens.txt").read_text() == "y"
    assert (demo / "other" / "place" / "tokens.txt").read_text() == "y"
    assert not (demo / "other" / "place" / "skip.log").exists()


@pytest.mark.parametrize(
    "entry", [".", "..", "demo", {"src": "conf", "dst": "../x"}, {"src": "conf", "dst": "/x"}]
)
def test_files_that_leave_or_hold_the_demo_are_refused(root, entry):
    (root / "demo").mkdir()
    with pytest.raises(ValueError, match=r"pack\.files\[0\]"):
        pack_demo(make_system(config(pack={"out_dir": "demo", "files": [entry]})))
    assert not list((root / "demo").iterdir())


def test_examples_become_files_of_the_demo_and_a_table_of_the_page(root, tmp_path):
    write(root / "a.wav", "1")
    write(tmp_path / "other" / "a.wav", "2")
    page = {"inputs": [{"name": "speech", "type": "audio"}, {"name": "beam", "type": "number"}]}
    examples = [["a.wav", 3], [str(tmp_path / "other" / "a.wav"), 5], ["a.wav", 1]]
    pack = {"out_dir": "demo", "examples": examples}
    demo = pack_demo(make_system(config(ui=page, pack=pack)))
    assert read(demo / "demo.yaml")["ui"]["examples"] == [
        ["examples/a.wav", 3], ["examples/a-2.wav", 5], ["examples/a.wav", 1]
    ]  # fmt: skip
    assert (demo / "examples" / "a-2.wav").read_text() == "2"
    # Without a page of its own the demo has that of the system, whose input is one recording.
    demo = pack_demo(make_system(config(pack={"out_dir": "demo", "examples": ["a.wav"]})))
    assert read(demo / "demo.yaml")["ui"] == {"examples": [["examples/a.wav"]]}
    assert not (demo / "examples" / "a-2.wav").exists()


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (["a.wav", 3], r"examples\[0\] = .*must have a value for each input of the page: speech"),
        ("none.wav", r"examples\[0\] = 'none.wav': no such file"),
        ("conf", r"examples\[0\] = 'conf': is a folder"),
    ],
)
def test_examples_that_the_page_could_not_show(root, example, message):
    with pytest.raises(ConfigError, match=message):
        pack_demo(make_system(config(pack={"out_dir": "demo", "examples": [example]})))


def test_a_pipe_is_refused_wherever_it_comes_from(root):
    os.mkfifo(root / "pipe")
    with pytest.raises(BundleError, match="neither file nor folder"):
        pack_demo(make_system(config(pack={"out_dir": "demo", "files": ["pipe"]})))
    (root / "folder").mkdir()
    os.mkfifo(root / "folder" / "pipe")
    with pytest.raises(BundleError, match="keep it out with `exclude`"):
        pack_demo(make_system(config(pack={"out_dir": "demo", "files": ["folder"]})))


def test_a_listed_file_that_does_not_exist(root):
    with pytest.raises(FileNotFoundError, match=r"pack\.files\[0\] = 'none\.txt'"):
        pack_demo(make_system(config(pack={"out_dir": "demo", "files": ["none.txt"]})))


def test_what_a_demo_needs_is_named(root):
    with pytest.raises(RuntimeError, match="pack_demo requires demo_config"):
        pack_demo(make_system(None))
    with pytest.raises(ValueError, match="infer_config is required"):
        pack_demo(make_system({"system": "asr"}))
    with pytest.raises(ValueError, match="nothing says how the model is built"):
        pack_demo(make_system({"infer_config": "conf/inference.yaml"}))
    with pytest.raises(FileNotFoundError, match="infer_config"):
        pack_demo(make_system(config(infer_config="conf/none.yaml")))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ui": {"inputs": [{"name": "a", "type": "audi"}]}}, "component type: audi.*audio"),
        ({"output_keys": {"txt": "hyp"}}, r"output_keys\.txt.* is no output of the page"),
    ],
)
def test_a_page_that_could_not_be_shown_is_not_packed(root, given, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        pack_demo(make_system(config(**given)))
    assert not (root / "demo").exists()


def test_the_inference_config_is_looked_for_beside_the_demo_config_first(root):
    write(root / "conf" / "special.yaml", {"model": {"_target_": "a.b"}, "input_key": "here"})
    write(root / "special.yaml", {"model": {"_target_": "a.b"}, "input_key": "there"})
    for path, expected in ((root / "conf" / "demo.yaml", "here"), (None, "there")):
        system = make_system(config(infer_config="special.yaml"), demo_config_path=path)
        demo = pack_demo(system)
        assert read(demo / "config" / "infer.yaml")["input_key"] == expected


def test_the_default_folder_is_in_the_experiment_or_here(root):
    assert pack_demo(make_system(config(pack={}), exp_dir="exp/x")) == Path("exp/x/demo")
    assert pack_demo(make_system(config(pack={}))) == root / "demo"


def test_a_demo_from_an_inference_config_takes_the_files_of_its_model(packed_recipe, tmp_path):
    with contextlib.chdir(packed_recipe.root):
        write(packed_recipe.root / "conf" / "infer.yaml", packed_recipe.inference)
        pack = {"out_dir": str(tmp_path / "demo"), "files": ["data/tokenizer"]}
        given = config(infer_config="conf/infer.yaml", pack=pack, recipe_dir=".")
        demo = pack_demo(make_system(given))
    model = read(demo / "config" / "infer.yaml")["model"]
    assert model["train_config"] == "exp/debug/training.yaml"
    assert (demo / model["model_file"]).is_file()
    moved = demo.rename(tmp_path / "moved")
    with contextlib.chdir(tmp_path):
        run = build_runtime(load_demo_config(moved), moved)
    request = {"ui_names": ["speech"], "ui_values": [(16000, tone())], "output_names": ["text"]}
    assert isinstance(run_inference(run, **request)[0], str)


def test_absolute_paths_of_a_model_are_moved_into_the_demo(root, tmp_path):
    weights = write(tmp_path / "weights.pth", b"w")
    model = {"_target_": "a.B", "file": str(weights), "other": [str(root / "none.txt")]}
    write(root / "conf" / "inference.yaml", {"model": model, "exp_dir": str(root / "exp")})
    demo = pack_demo(make_system(config(recipe_dir=".")))
    written = read(demo / "config" / "infer.yaml")
    assert (written["model"]["file"], written["model"]["other"]) == ("weights.pth", ["none.txt"])
    assert written["exp_dir"] == "exp"
    assert (demo / "weights.pth").read_bytes() == b"w"


def test_code_of_the_recipe_goes_along_when_it_is_named(root):
    write(root / "src" / "page.py", "def build(config): ...\n")
    write(root / "src" / "__pycache__" / "page.pyc", b"x")
    assert not (pack_demo(make_system(config())) / "src").exists()
    demo = pack_demo(make_system(config(ui={"builder": "src.page.build"})))
    assert [p.name for p in (demo / "src").iterdir()] == ["page.py"]
    (root / "src" / "page.py").unlink()
    (root / "src" / "__pycache__" / "page.pyc").unlink()
    (root / "src" / "__pycache__").rmdir()
    (root / "src").rmdir()
    with pytest.raises(MissingFileError, match=r"demo\.ui\.builder"):
        pack_demo(make_system(config(ui={"builder": "src.page.build"})))


def test_a_packed_model_is_copied_whole(demo_dir, packed_recipe):
    bundle = packed_recipe.out_dir if packed_recipe.out_dir.is_absolute() else None
    assert bundle is not None
    for path in bundle.rglob("*"):
        if path.is_file():
            copy = demo_dir / "model" / path.relative_to(bundle)
            assert copy.read_bytes() == path.read_bytes()
    written = read(demo_dir / "demo.yaml")
    assert written["model"] == {"dir_or_tag": "model"} and "infer_config" not in written
    assert not (demo_dir / "config").exists()


def test_a_packed_model_that_is_not_there(root):
    with pytest.raises(FileNotFoundError, match="run the stage pack_model first"):
        pack_demo(make_system(config(model={"dir_or_tag": "exp/x/model_pack"})))


def test_a_model_on_the_hub_is_pinned_to_its_commit(root, monkeypatch):
    class Client:
        def repo_info(self, name, revision):
            assert (name, revision) == ("ada/digits", "v1")
            return type("Info", (), {"sha": COMMIT})()

    monkeypatch.setattr(publish_utils, "HfApi", Client)
    demo = pack_demo(make_system(config(model={"dir_or_tag": "ada/digits@v1"})))
    assert read(demo / "demo.yaml")["model"]["dir_or_tag"] == f"ada/digits@{COMMIT}"
    readme = (demo / "README.md").read_text()
    assert "models:\n- ada/digits\n" in readme and COMMIT in readme
    names = {p.relative_to(demo).parts[0] for p in demo.rglob("*")}
    assert names == {
        "demo.yaml", "app.py", "requirements.txt", "README.md", ".demo_manifest.json"
    }  # fmt: skip


def test_pinning_needs_an_answer_unless_there_is_a_commit(monkeypatch):
    def refuse():
        raise OSError("no network")

    monkeypatch.setattr(publish_utils, "HfApi", refuse)
    assert pinning.pin_tag(f"a/b@{COMMIT}") == f"a/b@{COMMIT}"
    with pytest.raises(HubError, match=r"a/b@<commit>"):
        pinning.pin_tag("a/b")


def test_a_failed_packing_leaves_the_old_demo_and_knows_its_files(root, monkeypatch):
    demo = pack_demo(make_system(config()))
    before = (demo / "demo.yaml").read_text()
    write(root / "a.txt", "a")

    def fail(**arguments):
        raise OSError("disk full")

    monkeypatch.setattr("espnet3.demo.pack.setup_demo_assets", fail)
    with pytest.raises(OSError, match="disk full"):
        pack_demo(make_system(config(pack={"out_dir": "demo", "files": ["a.txt"]})))
    assert (demo / "demo.yaml").read_text() == before
    monkeypatch.undo()
    with contextlib.chdir(root):
        pack_demo(make_system(config()))
    assert not (demo / "a.txt").exists()


def test_the_configuration_is_not_changed(root):
    system = make_system(config(ui={"title": "x"}))
    before = system.demo_config.copy()
    pack_demo(system)
    assert system.demo_config == before


def test_a_misspelt_setting_is_found(root):
    with pytest.raises(ConfigError, match=r"pack\.out_dri.*\n.*out_dir"):
        pack_demo(make_system(config(pack={"out_dri": "demo"})))


@pytest.mark.parametrize("absolute", [False, True])
def test_a_record_that_names_other_files_removes_none(root, tmp_path, absolute, caplog):
    kept = write(tmp_path / "kept.txt", "of the user")
    demo = pack_demo(make_system(config()))
    name = str(kept) if absolute else "../../kept.txt"
    write(demo / ".demo_manifest.json", json.dumps({"files": [name]}))
    pack_demo(make_system(config()))
    assert kept.read_text() == "of the user"
    assert "lies outside of the demo and stays" in caplog.text


def test_packing_never_follows_a_linked_folder_out_of_the_demo(root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (root / "demo").mkdir()
    (root / "demo" / "config").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="leaves the demo"):
        pack_demo(make_system(config()))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_the_user_removed_is_not_missed(root):
    write(root / "more" / "b.txt", "b")
    demo = pack_demo(make_system(config(pack={"out_dir": "demo", "files": ["more"]})))
    shutil.rmtree(demo / "more")
    pack_demo(make_system(config()))
    assert read(demo / "demo.yaml")["system"] == "asr"


def test_files_of_one_name_do_not_replace_each_other(root, tmp_path):
    files = [write(tmp_path / name / "config.yaml", {"of": name}) for name in ("asr", "lm")]
    model = {"_target_": "a.B", "asr": str(files[0]), "lm": str(files[1]), "again": str(files[0])}
    write(root / "conf" / "inference.yaml", {"model": model})
    demo = pack_demo(make_system(config(recipe_dir=".")))
    written = read(demo / "config" / "infer.yaml")["model"]
    assert read(demo / written["asr"])["of"] == "asr" and written["again"] == written["asr"]
    assert read(demo / written["lm"])["of"] == "lm"
    pack = {"out_dir": "demo", "files": [str(path) for path in files]}
    with pytest.raises(ConfigError, match=r"pack\.files\[1\].*would replace .*asr.config\.yaml"):
        pack_demo(make_system(config(pack=pack)))


def make_bundle(folder: Path, **config) -> Path:
    targets = [path for path in config.values() if isinstance(path, str)]
    trust = {"requires_user_code": True, "targets": targets}
    write(folder / "meta.yaml", {"files": {}, "yaml_files": {}, "trust": trust})
    write(folder / "conf" / "inference.yaml", config)
    return folder


def test_a_packed_model_that_needs_trust_is_not_packed_without(root):
    make_bundle(root / "bundle", output_fn="src.x.f")
    for given in ({}, {"extra_kwargs": {"output_fn_path": "a.b"}}):
        model = {"dir_or_tag": "bundle", "trust_user_code": not given}
        pack_demo(make_system(config(model=model, **given)))
    with pytest.raises(ConfigError, match=r"model\.trust_user_code.* runs src\.x\.f"):
        pack_demo(make_system(config(model={"dir_or_tag": "bundle"})))
    make_bundle(root / "bundle", output_fn="src.x.f", other="src.y.g")
    with pytest.raises(ConfigError, match=r"runs src\.y\.g"):
        extra = {"output_fn_path": "a.b"}
        pack_demo(make_system(config(model={"dir_or_tag": "bundle"}, extra_kwargs=extra)))


def test_a_link_in_a_packed_model_takes_no_file_of_this_machine_along(root, tmp_path):
    make_bundle(root / "bundle")
    (root / "bundle" / "notes.txt").symlink_to(write(tmp_path / "secret.txt", "s"))
    with pytest.raises(BundleError, match=r"notes\.txt is a link that leads out"):
        pack_demo(make_system(config(model={"dir_or_tag": "bundle"})))


def test_links_in_place_of_copies(packed_recipe, root):
    write(root / "data" / "a.txt", "a")
    bundle = packed_recipe.out_dir.absolute()
    for copy in (True, False, True):
        pack = {"out_dir": "demo", "files": ["data"], "copy": copy}
        demo = pack_demo(make_system(config(pack=pack, model={"dir_or_tag": str(bundle)})))
        assert (demo / "data" / "a.txt").is_symlink() is (not copy)
        assert (demo / "model").is_symlink() is (not copy)
        assert (demo / "data" / "a.txt").read_text() == "a"
        run = build_runtime(load_demo_config(demo), demo)
        assert run.model.bundle_root == (demo / "model").resolve()
    assert (bundle / "meta.yaml").is_file() and (root / "data" / "a.txt").is_file()


def test_linked_files_are_forgotten_without_harm_to_their_targets(root):
    kept = write(root / "data" / "a.txt", "a")
    kept.chmod(0o600)
    pack = {"out_dir": "demo", "copy": False}
    demo = pack_demo(make_system(config(pack={**pack, "files": ["data"]})))
    assert (demo / "data" / "a.txt").is_symlink() and kept.stat().st_mode & 0o777 == 0o600
    pack_demo(make_system(config(pack=pack)))
    assert not (demo / "data").exists() and kept.read_text() == "a"


SPEECH2TEXT = "espnet2.bin.asr_inference.Speech2Text"
RECOGNIZER = "espnet3.systems.asr.recognizer.SpeechRecognizer"
TASK = "espnet3.systems.asr.task.ASRTask"


@pytest.mark.parametrize(
    ("target", "training", "extras"),
    [
        (SPEECH2TEXT, {}, "demo,espnet2"),
        (RECOGNIZER, {"task": TASK, "model": {}}, "demo,espnet2"),
        (RECOGNIZER, {"model": {"_target_": "torch.nn.Linear"}}, "demo"),
        # Ours stands in for this one.
        (RECOGNIZER, {"model": {"_target_": "espnet2.layers.global_mvn.GlobalMVN"}}, "demo"),
    ],
)
@pytest.mark.parametrize("is_bundle", [True, False])
def test_the_requirements_hold_espnet2_if_the_model_needs_it(
    root, target, training, extras, is_bundle
):
    folder = root / "pack" if is_bundle else root
    write(folder / "exp" / "training.yaml", training)
    model = {"_target_": target, "train_config": "${recipe_dir}/exp/training.yaml"}
    write(folder / "conf" / "inference.yaml", {"recipe_dir": ".", "model": model})
    write(folder / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1})
    source = {"model": {"dir_or_tag": "pack"}, "infer_config": None} if is_bundle else {}
    demo = pack_demo(make_system(config(recipe_dir=".", **source)))
    first = (demo / "requirements.txt").read_text().partition("==")[0]
    assert first == f"espnet3[{extras}]"


def test_a_demo_that_links_its_model_has_its_requirements_too(root):
    write(root / "pack" / "conf" / "inference.yaml", {"model": {"_target_": SPEECH2TEXT}})
    write(root / "pack" / "meta.yaml", {"files": {}, "yaml_files": {}, "schema_version": 1})
    changes = {"model": {"dir_or_tag": "pack"}, "pack": {"out_dir": "demo", "copy": False}}
    demo = pack_demo(make_system(config(recipe_dir=".", infer_config=None, **changes)))
    assert "demo,espnet2" in (demo / "requirements.txt").read_text()
