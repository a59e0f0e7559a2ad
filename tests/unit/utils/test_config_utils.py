from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
)

from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils.config_utils import (
    infer_default_package,
    load_and_merge_config,
    load_config_with_defaults,
    load_default_config,
    load_yaml_value,
    locate,
    resolve_config,
)

Write = Callable[[str, str], Path]


@pytest.fixture
def template(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a package with a ``conf`` folder."""
    write("cfg_template/__init__.py", "")
    write("cfg_template/task/__init__.py", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "cfg_template.task"
    for name in [n for n in sys.modules if n.partition(".")[0] == "cfg_template"]:
        del sys.modules[name]


def merge(path: Path, package: str, *, resolve: bool = True) -> DictConfig:
    config = load_and_merge_config(path, "training.yaml", package, resolve=resolve)
    assert config is not None
    return config


def test_interpolations_reach_across_files_and_are_resolved_at_the_end(write: Write) -> None:
    write("inc.yaml", "from_parent: ${name}\nboth: ${from_include}/x")
    path = write("main.yaml", "defaults: [inc]\nname: n\nfrom_include: ${from_parent}")
    assert load_config_with_defaults(path) == {
        "from_parent": "n",
        "both": "n/x",
        "name": "n",
        "from_include": "n",
    }
    assert load_config_with_defaults(str(path)) == load_config_with_defaults(path)


@pytest.mark.parametrize("head", ["", "defaults: [empty]\n"])
def test_without_resolution_nothing_is_evaluated(write: Write, head: str) -> None:
    write("empty.yaml", "")
    text = "a: ${nowhere}\nb: ${load_line:/no/file}\nc: [{d: '${oc.env:NOT_SET_ANYWHERE}'}]\n"
    config = load_config_with_defaults(write("main.yaml", head + text), resolve=False)
    assert OmegaConf.to_container(config, resolve=False) == {
        "a": "${nowhere}",
        "b": "${load_line:/no/file}",
        "c": [{"d": "${oc.env:NOT_SET_ANYWHERE}"}],
    }


def test_a_merge_without_resolution_keeps_references_between_recipe_and_template(
    write: Write, template: str
) -> None:
    text = "of_user: ${tag}\nlr: 1\nfile: ${load_line:/no}\n"
    write("cfg_template/task/conf/training.yaml", text)
    user = write("training.yaml", "tag: ${of_user}\nuses: ${lr}\nnone: ${load_yaml:/no,a}\n")
    config = merge(user, template, resolve=False)
    assert OmegaConf.to_container(config, resolve=False) == {
        "of_user": "${tag}",
        "lr": 1,
        "file": "${load_line:/no}",
        "tag": "${of_user}",
        "uses": "${lr}",
        "none": "${load_yaml:/no,a}",
    }


@pytest.mark.parametrize("head", ["", "defaults: [empty]\n"])
def test_targets_get_convert_with_and_without_defaults(write: Write, head: str) -> None:
    write("empty.yaml", "")
    config = load_config_with_defaults(write("main.yaml", head + "m: {_target_: x}\nn: {}"))
    assert config == {"m": {"_target_": "x", "_convert_": "all"}, "n": {}}


def test_oc_env_has_a_default(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_REPO", raising=False)
    path = write("main.yaml", "repo: ${oc.env:HF_REPO,}")
    assert load_config_with_defaults(path).repo == ""
    monkeypatch.setenv("HF_REPO", "me/x")
    assert load_config_with_defaults(path).repo == "me/x"


def test_self_name_is_the_stem_of_each_file(write: Write) -> None:
    write("inc.yaml", "inc: ${self_name:}")
    path = write("main.yaml", "defaults: [inc]\nmain: run_${self_name:}_v2")
    config = load_config_with_defaults(path, resolve=False)
    assert config == {"inc": "inc", "main": "run_main_v2"}


def test_self_name_of_a_link_is_the_name_of_the_link(write: Write, tmp_path: Path) -> None:
    write("conf/tuning/training_x.yaml", "defaults: [../base]\ntag: ${self_name:}")
    write("conf/base.yaml", "t: ${load_line:tuning/t.txt}")
    write("conf/tuning/t.txt", "a")
    link = tmp_path / "conf" / "training.yaml"
    link.symlink_to("tuning/training_x.yaml")
    assert load_config_with_defaults(link) == {"tag": "training", "t": ["a"]}


def test_self_name_in_a_merge_is_the_users_everywhere(write: Write, template: str) -> None:
    write("cfg_template/task/conf/training.yaml", "defaults: [more]\na: ${self_name:}")
    write("cfg_template/task/conf/more.yaml", "b: ${self_name:}")
    write("conf/inc.yaml", "c: ${self_name:}")
    user = write("conf/my_run.yaml", "defaults: [inc]\nd: ${self_name:}")
    assert set(merge(user, template).values()) == {"my_run"}
    assert load_default_config("training.yaml", template) == {"b": "more", "a": "training"}


def test_relative_paths_belong_to_the_file_that_holds_them(write: Write, template: str) -> None:
    write("cfg_template/task/conf/training.yaml", "a: ${load_line:tokens.txt}\nu: ${b}")
    write("cfg_template/task/conf/tokens.txt", "template")
    user = write("conf/training.yaml", "defaults: [sub/inc]\nb: ${load_line:'my tokens.txt'}")
    write("conf/my tokens.txt", "user")
    write("conf/sub/inc.yaml", "c: ${load_line:../../data/tokens.txt}")
    write("data/tokens.txt", "data\n\n")
    assert merge(user, template) == {
        "a": ["template"],
        "u": ["user"],
        "c": ["data", ""],
        "b": ["user"],
    }


def test_overriding_one_key_moves_everything_derived(write: Write, template: str) -> None:
    write(
        "cfg_template/task/conf/training.yaml",
        "tag: ${self_name:}\nexp_dir: exp/${tag}\nmodel: null\nuses_user: ${extra}\n",
    )
    user = write("training.yaml", "tag: mine\nextra: ${exp_dir}/x\nmodel: {_target_: a.B}")
    assert merge(user, template) == {
        "tag": "mine",
        "exp_dir": "exp/mine",
        "model": {"_target_": "a.B", "_convert_": "all"},
        "uses_user": "exp/mine/x",
        "extra": "exp/mine/x",
    }


def test_override_keyword_against_the_template(write: Write, template: str) -> None:
    write("cfg_template/task/conf/training.yaml", "scheduler: {_target_: a.Warmup, warmup: 1}")
    user = write("t.yaml", "override scheduler:\n  _target_: a.Plateau\n  patience: 1")
    assert merge(user, template).scheduler == {
        "_target_": "a.Plateau",
        "patience": 1,
        "_convert_": "all",
    }


def test_no_path_gives_no_config() -> None:
    assert load_and_merge_config(None, "training.yaml") is None


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("/x/egs3/mini/asr/conf/training.yaml", "egs3.TEMPLATE.asr"),
        ("/x/egs3/mini/tts/conf/tuning/conf/a.yaml", "egs3.TEMPLATE.tts"),
        ("/x/egs3/deep/mini/asr/conf/a.yaml", "egs3.TEMPLATE.asr"),
        ("/egs3/old/egs3/mini/asr/conf/a.yaml", "egs3.TEMPLATE.asr"),
        ("/x/egs3/asr/conf/a.yaml", None),
        ("/x/mini/asr/conf/a.yaml", None),
        ("/x/egs3/mini/asr/training.yaml", None),
    ],
)
def test_default_package_follows_from_the_path(path: str, package: str | None) -> None:
    assert infer_default_package(path) == package


def test_default_package_of_a_relative_path_and_of_a_link(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write("egs3/mini/asr/conf/training.yaml", "")
    monkeypatch.chdir(target.parents[1])
    assert infer_default_package("conf/training.yaml") == "egs3.TEMPLATE.asr"
    outside = tmp_path / "outside.yaml"
    outside.symlink_to(target)
    with pytest.raises(ValueError, match="default_package is required when it cannot be inferred"):
        load_and_merge_config(outside, "training.yaml")


def test_missing_template_parts(write: Write, template: str) -> None:
    path = write("training.yaml", "")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        load_and_merge_config(path, "training.yaml", "no_such_package.task")
    with pytest.raises(ModuleNotFoundError, match="cfg_template.other"):
        load_and_merge_config(path, "training.yaml", "cfg_template.other")
    with pytest.raises(FileNotFoundError, match="cfg_template.task has no conf/training.yaml"):
        load_default_config("training.yaml", template)
    write("cfg_template/task/conf/training.yaml", "")
    with pytest.raises(MissingFileError, match="nowhere.yaml: no such file"):
        load_and_merge_config("nowhere.yaml", "training.yaml", template)


def test_load_yaml_reads_a_value_of_another_file(write: Write) -> None:
    write("conf/other.yaml", "defaults: [inc]\na: {b: '${c}'}\nlist: [1, {x: '${c}'}]")
    write("conf/inc.yaml", "c: 7")
    path = write(
        "conf/main.yaml",
        "one: ${load_yaml:other.yaml,a.b}\nnode: ${load_yaml:other.yaml,a}\n"
        "item: ${load_yaml:other.yaml,list}\nall: ${load_yaml:other.yaml}\n",
    )
    config = load_config_with_defaults(path)
    assert config.one == 7
    assert config.node == {"b": 7}
    assert config.item == [1, {"x": 7}]
    assert config.all == {"c": 7, "a": {"b": 7}, "list": [1, {"x": 7}]}


def test_load_yaml_suggests_a_key(write: Write) -> None:
    path = write("other.yaml", "batch_size: 1\nnothing: null")
    assert load_yaml_value(path, "nothing") is None
    with pytest.raises(ConfigError, match='other.yaml: batch_sise: .*\n  did you mean "batch_size'):
        load_yaml_value(path, "batch_sise")


def test_load_yaml_of_a_recipe_config_has_its_defaults(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("egs3", "egs3/TEMPLATE", "egs3/TEMPLATE/task"):
        write(f"{name}/__init__.py", "")
    write("egs3/TEMPLATE/task/conf/training.yaml", "lr: 1\ntag: ${self_name:}")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.partition(".")[0] == "egs3"]:
        monkeypatch.delitem(sys.modules, name)
    path = write("egs3/mini/task/conf/tuning/training_big.yaml", "eps: 2")
    assert load_yaml_value(path) == {"lr": 1, "tag": "training_big", "eps": 2}
    assert load_yaml_value(write("egs3/mini/task/conf/other.yaml", "eps: 2")) == {"eps": 2}
    for name in [n for n in sys.modules if n.partition(".")[0] == "egs3"]:
        del sys.modules[name]


def test_broken_interpolation_syntax_names_file_and_line(write: Write) -> None:
    path = write("main.yaml", "fine: 1\nlist:\n  - ${open")
    with pytest.raises(ConfigError, match=rf"{path}:3: list\[0\] = ") as caught:
        load_config_with_defaults(path, resolve=False)
    assert isinstance(caught.value.__cause__, GrammarParseError)


def test_values_that_no_config_can_hold_name_file_and_line(write: Write) -> None:
    path = write("main.yaml", "a: 1\nb: !!set {x}")
    with pytest.raises(ConfigError, match=rf"{path}:2: b = "):
        load_config_with_defaults(path)


def test_a_section_that_was_switched_off_in_memory_is_skipped() -> None:
    config = OmegaConf.create({"a": {"b": "${c}"}, "c": 1})
    config.a = None
    resolve_config(config)
    assert config == {"a": None, "c": 1}


def test_mandatory_values_stay_until_they_are_read(write: Write) -> None:
    config = load_config_with_defaults(write("main.yaml", "a: ???\nb: ${a}/x\nc: '${b}'"))
    assert OmegaConf.is_missing(config, "a")
    with pytest.raises(MissingMandatoryValue, match="a"):
        _ = config.a
    config.a = "set"
    resolve_config(config)
    assert OmegaConf.to_container(config, resolve=False) == {"a": "set", "b": "set/x", "c": "set/x"}


def test_locate_survives_copies_merges_and_pickling(write: Write, template: str) -> None:
    default = write("cfg_template/task/conf/training.yaml", "a: 1\nb:\n  c: [{d: 1}]\n")
    user = write("conf/training.yaml", "# user\nb:\n  e: 2\n")
    config = merge(user, template)
    for variant in (
        config,
        copy.deepcopy(config),
        OmegaConf.merge(config, {"b": {"e": 3}}),
        pickle.loads(pickle.dumps(config)),
    ):
        place = locate(variant, "b.c[0].d")
        assert place is not None
        assert (place.file, place.line) == (str(default), 3)
        assert locate(variant.b, "e") == locate(variant, "b.e")
        assert locate(variant.b.c[0], "d") == place
        place = locate(variant, "b.e")
        assert place is not None
        assert (place.file, place.line) == (str(user), 3)


def test_locate_falls_back_to_the_section_and_to_the_file(write: Write) -> None:
    path = write("main.yaml", "a:\n  b: 1\n")
    config = load_config_with_defaults(path)
    for key, line in (("a.zzz", 1), ("a", 1), ("zzz.y", None), ("", None)):
        place = locate(config, key)
        assert place is not None
        assert (place.file, place.line) == (str(path), line)
    assert locate(OmegaConf.create({"a": 1}), "a") is None
    assert locate({"a": 1}, "a") is None


@pytest.mark.parametrize(
    ("text", "cls", "message"),
    [
        (
            "a: ${b.c.d}\nb: {c: null}",
            InterpolationResolutionError,
            "a: refers to b.c.d, but b.c is null",
        ),
        (
            "x: 1\na: ${b.c}\nb: {cc: 1}",
            InterpolationKeyError,
            "2: a: refers to b.c, which does not exist",
        ),
        (
            "a: {b: '${..nme}'}\nname: 1",
            InterpolationKeyError,
            'refers to nme.*\n  did you mean "name"',
        ),
        (
            "a: ${b}\nb: '${c.d}'\nc: null",
            InterpolationResolutionError,
            "a: refers to b -> c.d, but c is null",
        ),
        (
            "a: ${nope:1}",
            InterpolationResolutionError,
            "cannot be resolved: Unsupported interpolation",
        ),
        (
            "a: ${load_line:/no/such}",
            InterpolationResolutionError,
            "cannot be resolved: .*/no/such",
        ),
        ("a: [x, '${b}']", InterpolationKeyError, r"1: a\[1\]: refers to b"),
        ("a: ${a}", InterpolationResolutionError, "cannot be resolved"),
    ],
)
def test_interpolation_errors_show_file_key_and_chain(
    write: Write, text: str, cls: type[Exception], message: str
) -> None:
    path = write("main.yaml", text)
    with pytest.raises(cls, match=message) as caught:
        load_config_with_defaults(path)
    assert isinstance(caught.value, ConfigError)
    assert str(path) in str(caught.value)


def test_paths_that_use_a_null_key_are_unset_and_say_why(write: Write) -> None:
    path = write(
        "main.yaml",
        "tag:\nroot: .\nexp_dir: ${root}/exp/${tag}\nout_path: ${exp_dir}/x\n"
        "note: ${tag}\nsound_dir: ./exp/Nonesuch\nliteral_dir: exp/None/x\n",
    )
    config = load_config_with_defaults(path)
    assert OmegaConf.is_missing(config, "exp_dir")
    assert OmegaConf.is_missing(config, "out_path")
    assert config.note is None
    assert config.sound_dir == "./exp/Nonesuch"
    assert config.literal_dir == "exp/None/x"
    places = [locate(config, key) for key in ("exp_dir", "note", "root")]
    notes = [(place.line, place.note) for place in places if place is not None]
    assert notes == [(3, said := "uses tag, which is null"), (5, said), (2, None)]


def test_late_files_are_resolved_when_they_exist(write: Write, tmp_path: Path) -> None:
    tokens = tmp_path / "bpe" / "tokens.txt"
    path = write(
        "main.yaml",
        f"a: 1\nb: '${{a}}'\ntokens: ${{load_line:{tokens}}}\nmodel: {{list: '${{tokens}}'}}\n"
        "copy: ${model}\nother: ${load_yaml:later.yaml,k}",
    )
    config = load_config_with_defaults(path, resolve=False)
    resolve_config(config, late_files=True)
    raw = OmegaConf.to_container(config, resolve=False)
    assert raw["b"] == 1
    assert raw["tokens"] == f"${{load_line:{tokens}}}"
    assert raw["model"] == {"list": "${tokens}"}
    with pytest.raises(InterpolationResolutionError, match="tokens.txt"):
        _ = config.model.list
    write("bpe/tokens.txt", "x\ny\n")
    resolve_config(config, late_files=True)
    raw = OmegaConf.to_container(config, resolve=False)
    assert raw["tokens"] == raw["model"]["list"] == raw["copy"]["list"] == ["x", "y"]
    assert "load_yaml" in raw["other"]
    write("later.yaml", "k: 5")
    resolve_config(config, late_files=True)
    assert config.other == 5
