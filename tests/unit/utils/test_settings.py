from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf

from espnet3.errors import ConfigError, MissingConfigError, SettingError, UnknownKeyError
from espnet3.utils.config_utils import load_config_with_defaults
from espnet3.utils.settings import convert, field_hints, known_keys, parse_settings, rest


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingError("must be positive", key="size", value=self.size)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    where: Path = Path("x")
    lr: float = 0.1
    flag: bool = False
    mode: Literal["a", "b", 3] = "a"
    pair: tuple[str, int] = ("p", 1)
    words: tuple[str, ...] = ()
    numbers: list[int] = field(default_factory=list)
    table: dict[str, Inner] = field(default_factory=dict)
    inner: Inner = Inner()
    either: int | list[str] | None = None
    free: Any = None

    def __post_init__(self) -> None:
        if self.name == "forbidden":
            raise ValueError("that name is taken")


@dataclass(frozen=True, kw_only=True)
class Open:
    known: int = 0
    others: dict[str, Any] = rest("everything else")


@dataclass(frozen=True, kw_only=True)
class Named:
    name: str
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Located:
    name_dir: Path


@dataclass(frozen=True, kw_only=True)
class Listed:
    known: int = 0
    others: dict[str, Any] = rest(names=("size", "shape"))


FULL = {
    "name": "n",
    "where": "a/b",
    "lr": 1,
    "flag": True,
    "mode": 3,
    "pair": ["q", 2],
    "words": ["v", "w"],
    "numbers": [1, 2],
    "table": {"t": {"size": 4}},
    "inner": {"size": 5},
    "either": ["z"],
    "free": {"_target_": "x"},
}


@pytest.mark.parametrize("section", [FULL, OmegaConf.create(FULL)])
def test_every_supported_type_is_read(section: Any) -> None:
    assert parse_settings(section, Outer, key="s") == Outer(
        name="n",
        where=Path("a/b"),
        lr=1.0,
        flag=True,
        mode=3,
        pair=("q", 2),
        words=("v", "w"),
        numbers=[1, 2],
        table={"t": Inner(size=4)},
        inner=Inner(size=5),
        either=["z"],
        free={"_target_": "x"},
    )


def test_nothing_means_all_defaults_and_null_means_absent() -> None:
    assert parse_settings(None, Inner, key="s") == Inner()
    assert parse_settings({"size": None}, Inner, key="s") == Inner()
    assert parse_settings({"name": "n", "either": None}, Outer, key="s").either is None


@pytest.mark.parametrize("value", [{}, {"name": None}, {"name": "???"}])
def test_a_required_key_must_be_set(value: Any) -> None:
    with pytest.raises(MissingConfigError, match=r"s.name: must be set"):
        parse_settings(value, Outer, key="s")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("lr", "fast", "s.lr = 'fast': expected float, got str"),
        ("lr", True, "expected float, got bool"),
        ("flag", 1, "expected bool, got int"),
        ("where", 3, "expected Path, got int"),
        ("name", 3, "expected str, got int"),
        ("mode", "c", "must be one of a, b, 3"),
        ("mode", True, "must be one of"),
        ("pair", ["q"], "must have 2 items"),
        ("words", "v", "must be a list"),
        ("words", [1], r"s.words\[0\] = 1: expected str"),
        ("numbers", [True], r"s.numbers\[0\] = True: expected int"),
        ("table", [], "must be a mapping"),
        ("inner", 3, "must be a mapping"),
        ("either", 1.5, "expected int or a list or null"),
    ],
)
def test_a_wrong_type_names_key_value_and_expectation(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_settings({"name": "n", key: value}, Outer, key="s", file="f.yaml")


def test_an_optional_of_one_type_reports_that_type() -> None:
    with pytest.raises(ConfigError, match="k = 'x': expected int, got str"):
        convert("x", int | None, key="k")


def test_a_mapping_without_item_type_is_checked_as_a_mapping() -> None:
    assert convert({"a": 1}, dict, key="k") == {"a": 1}


def test_unknown_keys_are_errors_with_a_suggestion() -> None:
    with pytest.raises(UnknownKeyError, match='s.sise: .*\n  did you mean "size"'):
        parse_settings({"sise": 1}, Inner, key="s")
    with pytest.raises(UnknownKeyError, match="s.table.t.zzz: .*\n  valid keys: size"):
        parse_settings({"name": "n", "table": {"t": {"zzz": 1}}}, Outer, key="s")


def test_rest_collects_what_has_no_field() -> None:
    settings = parse_settings({"known": 1, "x": [2], "others": 3}, Open, key="s")
    assert settings == Open(known=1, others={"x": [2], "others": 3})
    assert field_hints(Open) == {"known": int}
    assert known_keys(Open) is None


def test_rest_may_list_the_keys_that_it_takes() -> None:
    assert parse_settings({"known": 1, "size": 2}, Listed, key="s").others == {"size": 2}
    assert known_keys(Listed) == {"known", "size", "shape"}
    with pytest.raises(UnknownKeyError, match='f.yaml: s.sise: .*\n  did you mean "size"'):
        parse_settings({"sise": 1}, Listed, key="s", file="f.yaml")


def test_the_section_must_be_a_mapping() -> None:
    with pytest.raises(ConfigError, match=r"f.yaml: s = \[1\]: must be a mapping"):
        parse_settings([1], Inner, key="s", file="f.yaml")


def test_errors_of_post_init_name_the_section() -> None:
    with pytest.raises(ConfigError, match="s: that name is taken"):
        parse_settings({"name": "forbidden"}, Outer, key="s")
    with pytest.raises(SettingError, match="s.inner.size = 0: must be positive"):
        parse_settings({"name": "n", "inner": {"size": 0}}, Outer, key="s")
    with pytest.raises(SettingError, match="^size = 0: must be positive"):
        parse_settings({"size": 0}, Inner, key="")


def test_errors_about_a_loaded_file_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("a: 1\ns:\n  name: n\n  inner:\n    size: 0\n")
    config = load_config_with_defaults(path)
    with pytest.raises(SettingError, match=rf"^{path}:5: s.inner.size = 0"):
        parse_settings(config.s, Outer, key="s")
    with pytest.raises(SettingError, match=rf"^{path}:5: training_config.s.inner.size = 0"):
        parse_settings(config.s, Outer, key="training_config.s")
    with pytest.raises(MissingConfigError, match=rf"^{path}:4: s.inner.name: must be set"):
        parse_settings(config.s.inner, Named, key="s.inner")


def test_a_path_that_uses_a_null_key_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("tag:\nname_dir: exp/${tag}\n")

    config = load_config_with_defaults(path)
    del config["tag"]
    with pytest.raises(MissingConfigError, match=rf"{path}:2: name_dir: must be set\n  uses tag"):
        parse_settings(config, Located, key="")
