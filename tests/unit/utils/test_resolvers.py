from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from espnet3.errors import ConfigError
from espnet3.utils import config_utils, resolvers
from espnet3.utils.config_utils import OMEGACONF_ESPNET3_RESOLVER, load_line
from espnet3.utils.resolvers import bind_self_name, make_paths_absolute, producing_stage

FOLDER = Path("/conf")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("one", ["one"]),
        ("one\n", ["one"]),
        (" a b \n\n\tc\n", ["a b", "", "c"]),
        ("ä\n<unk>\n", ["ä", "<unk>"]),
    ],
)
def test_load_line(tmp_path: Path, text: str, lines: list[str]) -> None:
    path = tmp_path / "my tokens.txt"
    path.write_text(text, encoding="utf-8")
    assert load_line(path) == lines
    assert load_line(str(path)) == lines
    assert OmegaConf.create({"t": f"${{load_line:'{path}'}}"}).t == lines


def test_load_line_gives_each_caller_a_list_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("a")
    load_line(path).append("b")
    assert load_line(path) == ["a"]


def test_load_line_logs_and_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(FileNotFoundError):
        load_line(tmp_path / "missing")
    assert "no such file" in caplog.text
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_line(tmp_path)


def test_load_line_reports_permission_errors_of_the_system(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(resolvers, "file_stamp", refuse)
    with pytest.raises(PermissionError):
        load_line(tmp_path / "x")
    assert "no permission" in caplog.text


def test_a_missing_file_in_an_interpolation_is_named_with_its_stage(tmp_path: Path) -> None:
    config = OmegaConf.create(
        {
            "data_dir": str(tmp_path),
            "tokenizer": {"save_path": str(tmp_path / "bpe")},
            "tokens": f"${{load_line:{tmp_path}/bpe/tokens.txt}}",
            "other": "${load_yaml:/nowhere/x.yaml}",
        }
    )
    with pytest.raises(InterpolationResolutionError) as caught:
        _ = config.tokens
    assert f"{tmp_path}/bpe/tokens.txt" in str(caught.value)
    assert "the stage train_tokenizer writes it" in str(caught.value)
    with pytest.raises(InterpolationResolutionError, match="/nowhere/x.yaml"):
        _ = config.other
    assert producing_stage(tmp_path / "a.tsv", config) == "create_dataset"


@pytest.mark.parametrize("key", ["stats_dir", "data_dir", "exp_tag"])
def test_a_folder_that_depends_on_a_missing_file_names_that_file(key: str) -> None:
    tree = {"stats_dir": "stats", "data_dir": "data", "exp_dir": "exp/${exp_tag}", "exp_tag": "a"}
    config = OmegaConf.create({**tree, key: f"${{load_yaml:/nowhere/local.yaml,{key}}}"})
    with pytest.raises(InterpolationResolutionError, match="/nowhere/local.yaml") as caught:
        _ = config[key]
    assert "Recursion" not in str(caught.value)


def test_registering_again_is_harmless() -> None:
    importlib.reload(config_utils)
    assert set(OMEGACONF_ESPNET3_RESOLVER) == {"load_line", "load_yaml", "self_name"}
    assert all(OmegaConf.has_resolver(name) for name in OMEGACONF_ESPNET3_RESOLVER)


def test_self_name_is_replaced_in_longer_strings_and_nested_containers() -> None:
    tree = {"a": "run_${self_name:}_v2", "b": [{"c": "${ self_name : }"}], "d": r"\${self_name:}"}
    assert bind_self_name(tree, r"x\1") == {
        "a": r"run_x\1_v2",
        "b": [{"c": r"x\1"}],
        "d": r"\${self_name:}",
    }


def test_self_name_with_argument_and_without_file() -> None:
    assert OmegaConf.create({"a": "${self_name:abc}"}).a == "abc"
    with pytest.raises(InterpolationResolutionError, match="was built in memory"):
        _ = OmegaConf.create({"a": "${self_name:}"}).a


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("${load_line:a.txt}", "${load_line:/conf/a.txt}"),
        ("${load_line:../data/a.txt}", "${load_line:/data/a.txt}"),
        ("${ load_line : a.txt }", "${ load_line : /conf/a.txt }"),
        ("x ${load_line:a} y ${load_line:b}", "x ${load_line:/conf/a} y ${load_line:/conf/b}"),
        ("${load_line:'my file.txt'}", "${load_line:'/conf/my file.txt'}"),
        ('${load_line:"my file.txt"}', '${load_line:"/conf/my file.txt"}'),
        ("${load_line:my file.txt}", "${load_line:'/conf/my file.txt'}"),
        ("${load_yaml:a.yaml,b.c}", "${load_yaml:/conf/a.yaml,b.c}"),
        ("${load_yaml:'a b.yaml', b}", "${load_yaml:'/conf/a b.yaml', b}"),
        ("${load_line:/abs/a.txt}", "${load_line:/abs/a.txt}"),
        ("${load_line:${dir}/a.txt}", "${load_line:${dir}/a.txt}"),
        ("${load_line:'${dir}/a.txt'}", "${load_line:'${dir}/a.txt'}"),
        ("${load_line:}", "${load_line:}"),
        ("load_line:a.txt", "load_line:a.txt"),
        ("${oc.env:a.txt}", "${oc.env:a.txt}"),
    ],
)
def test_relative_paths_become_absolute(before: str, after: str) -> None:
    tree = {"k": [{"n": before}], "number": 1}
    assert make_paths_absolute(tree, FOLDER) == {"k": [{"n": after}], "number": 1}


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\x00\n\r\\$'\"{},"), min_size=1),
        min_size=1,
        max_size=3,
    )
)
def test_a_rewritten_path_means_the_same_file_whatever_the_folder_is_called(
    names: list[str],
) -> None:
    seen: list[str] = []
    OmegaConf.register_new_resolver("load_line_probe", seen.append, replace=True)
    folder = Path("/", *names)
    text = make_paths_absolute("${load_line:tokens.txt}", folder)
    _ = OmegaConf.create({"a": text.replace("load_line", "load_line_probe", 1)}).a
    assert seen == [os.path.abspath(folder / "tokens.txt")]  # noqa: PTH100
    OmegaConf.clear_resolver("load_line_probe")
