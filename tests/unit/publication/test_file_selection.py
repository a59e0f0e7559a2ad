from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.demo.record import RECORD_FILE
from espnet3.demo.settings import PackDemoSettings
from espnet3.errors import ConfigError
from espnet3.publication.file_selection import Selection
from espnet3.publication.path_patterns import PathPatterns
from espnet3.publication.settings import PackSettings
from espnet3.systems.base.inference_state import STATE_DIR
from espnet3.utils.settings import parse_settings
from tests.unit.publication.conftest import write


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.log", "a/b/c.log", True),
        ("*.log", "a/b.log/c.txt", True),
        ("**/*.log", "c.log", True),
        ("**/tensorboard/**", "x/tensorboard/events", True),
        ("**/tensorboard/**", "tensorboard", True),
        ("exp/x/foo/**", "exp/x/foo/a/b", True),
        ("exp/x/foo/**", "y/exp/x/foo/a", False),
        ("a/*/c", "a/b/c", True),
        ("a/*/c", "a/b/b/c", False),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/b/b/c", True),
        ("?.txt", "a.txt", True),
        ("[ab].txt", "b.txt", True),
        ("[!ab].txt", "b.txt", False),
        ("/top", "top/x", True),
        ("/top", "a/top", False),
        ("wandb/", "exp/wandb/run", True),
        ("a.c", "abc", False),
        ("", "a", False),
        ("/", "a", False),
    ],
)
def test_patterns_mean_what_they_mean_in_a_gitignore(pattern, path, matches):
    assert PathPatterns([pattern]).match(path) is matches


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_path_matches_itself_and_what_is_below(parts):
    path = "/".join(parts)
    assert PathPatterns([f"/{path}"]).match(f"{path}/below")


def names(selection, folder, **options):
    return {place for _, place in selection.iter_files(folder, "top", **options)}


@pytest.mark.parametrize("pattern", ["!keep.log", "[z-a]*.log"])
def test_a_pattern_without_effect_is_found_with_the_settings(pattern):
    with pytest.raises(ConfigError, match=r"pack_model\.exclude = "):
        parse_settings({"exclude": pattern}, PackSettings, key="pack_model")
    with pytest.raises(ConfigError, match=r"pack\.exclude = "):
        parse_settings({"exclude": [pattern]}, PackDemoSettings, key="pack")


def test_private_files_and_caches_are_never_taken(tmp_path):
    source = tmp_path / "source"
    private = [
        ".env",
        ".env.local",
        ".git/config",
        ".train.lock",
        "__pycache__/a.pyc",
        "key.pem",
        "ok.py",
    ]
    for name in [*private, "train.run.json", "train1.config/training_config.yaml"]:
        write(source / name, "x")
    selection = Selection(exclude=PathPatterns([]), bundle_dir=tmp_path / "out")
    assert names(selection, source) == {"top/ok.py"}


def test_a_private_file_that_is_listed_is_left_out_with_a_warning(tmp_path, caplog):
    source = write(tmp_path / ".env.local", "x")
    selection = Selection(exclude=PathPatterns([]), bundle_dir=tmp_path / "out")
    assert names(selection, source) == set()
    assert f"left out of the bundle: {source} is named like a secret" in caplog.text


def test_only_the_bundle_folder_itself_is_skipped(tmp_path):
    source = tmp_path / "source"
    for name in ("model_pack/a", "inner/model_pack/b", ".model_pack.partial-x/c", "d"):
        write(source / name, "x")
    selection = Selection(exclude=PathPatterns([]), bundle_dir=source / "model_pack")
    assert names(selection, source) == {"top/inner/model_pack/b", "top/d"}


def test_every_inference_folder_of_an_experiment_is_left_out(tmp_path):
    source = tmp_path / "source"
    for folder in ("inference_old/clean", "clean"):
        write(source / folder / STATE_DIR / "done.json", "{}")
        write(source / folder / "hyp.scp", "a x")
    write(source / "inference_old" / "metrics.json", "{}")
    write(source / "plots" / "loss.svg", "x")
    selection = Selection(exclude=PathPatterns([]), bundle_dir=tmp_path / "o")
    assert names(selection, source, is_experiment=True) == {"top/plots/loss.svg"}


def test_decoding_output_is_left_out_of_experiments_only(tmp_path):
    source = tmp_path / "source"
    for name in ("decode/a", "decode_x/b", "out/c", "src/decode_utils.py", "d"):
        write(source / name, "x")
    selection = Selection(
        exclude=PathPatterns([]), bundle_dir=tmp_path / "o", inference_dir=source / "out"
    )
    assert names(selection, source, is_experiment=True) == {"top/d"}
    assert len(names(selection, source)) == 5


def test_packed_demos_and_models_of_an_experiment_are_left_out(tmp_path):
    source = tmp_path / "source"
    write(source / "demo" / RECORD_FILE, "{}")
    write(source / "demo" / "app.py", "x")
    write(source / "model_pack" / "meta.yaml", {"files": {}, "yaml_files": {}})
    for name in ("model_pack.zip", ".model_pack.pack.json", "other.zip", "demos/app.py", "a/b"):
        write(source / name, "x")
    selection = Selection(exclude=PathPatterns([]), bundle_dir=tmp_path / "out")
    taken = names(selection, source, is_experiment=True)
    assert taken == {"top/other.zip", "top/demos/app.py", "top/a/b"}
    assert "top/demo/app.py" in names(selection, source)
