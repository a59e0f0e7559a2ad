from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils.config_layers import compose
from espnet3.utils.config_merge import finish, merge

Write = Callable[[str, str], Path]


def load(path: Path) -> Any:
    return finish(compose(path)).content


@pytest.mark.parametrize("entry", ["base", "base.yaml", "./base", "{here}/base.yaml"])
def test_a_name_is_merged_at_the_root(write: Write, tmp_path: Path, entry: str) -> None:
    write("base.yaml", "a: 1\nb: 1")
    main = write("main.yaml", f"defaults: [{entry.format(here=tmp_path)}]\nb: 2")
    assert load(main) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("entry", "file"),
    [
        ("opt: adam", "opt/adam.yaml"),
        ("opt: adam.yaml", "opt/adam.yaml"),
        ("opt: shared/adam", "shared/adam.yaml"),
    ],
)
def test_a_keyed_entry_is_placed_under_its_key(write: Write, entry: str, file: str) -> None:
    write(file, "lr: 1")
    main = write("main.yaml", f"defaults:\n  - {entry}\nopt: {{eps: 2}}")
    assert load(main) == {"opt": {"lr": 1, "eps": 2}}


def test_a_mapping_with_several_keys_is_taken_in_order_and_null_is_skipped(write: Write) -> None:
    write("a/x.yaml", "v: a")
    write("b/x.yaml", "v: b")
    main = write("main.yaml", "defaults:\n  - {a: x, c: null, b: x}")
    assert load(main) == {"a": {"v": "a"}, "b": {"v": "b"}}


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ("[_self_, one, two]", "two"),
        ("[one, _self_, two]", "two"),
        ("[two, one, _self_]", "main"),
        ("[one, two]", "main"),
        ("[two, _self_, one]", "one"),
    ],
)
def test_later_entries_win(write: Write, defaults: str, expected: str) -> None:
    write("one.yaml", "who: one")
    write("two.yaml", "who: two")
    assert load(write("main.yaml", f"defaults: {defaults}\nwho: main")) == {"who": expected}


def test_includes_nest_relative_to_their_own_file_and_leave_no_defaults(write: Write) -> None:
    write("sub/deep/leaf.yaml", "defaults: []\nleaf: 1")
    write("sub/mid.yaml", "defaults: [deep/leaf]\nmid: 1")
    write("other/k.yaml", "defaults: [../sub/mid]")
    main = write("main.yaml", "defaults: [sub/mid, {k: other/k}]")
    assert load(main) == {"mid": 1, "leaf": 1, "k": {"mid": 1, "leaf": 1}}


def test_defaults_without_entries_include_nothing(write: Write) -> None:
    assert load(write("main.yaml", "defaults:\n#  - base\na: 1")) == {"a": 1}


def test_an_empty_file_is_an_empty_mapping(write: Write) -> None:
    assert load(write("main.yaml", "# nothing\n")) == {}


def test_a_dot_in_a_name_is_fine_when_the_file_exists(write: Write) -> None:
    write("lr0.5.yaml", "lr: 0.5")
    assert load(write("main.yaml", "defaults: [lr0.5]")) == {"lr": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults: [base.json]", r"defaults = 'base.json': has the suffix '.json'"),
        ("defaults: {a: b}", "must be a list"),
        ("defaults: [1]", "must be a file name or `key: file name`"),
        ("defaults: [null]", "must be a file name or"),
        ("defaults: ['']", "must be a file name or"),
        ("defaults: [{a: 1}]", "defaults.a = 1: must be a file name"),
        ("[1, 2]", "must hold a mapping, not a list"),
        ("x: 1\noverride x: 2", "`x` and `override x` stand in one mapping"),
        ("a: {override x: 1, x: 2}", "a.x: `x` and `override x`"),
    ],
)
def test_malformed_files_are_errors_that_name_the_file(
    write: Write, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(write("main.yaml", text))
    assert "main.yaml" in str(caught.value)


def test_a_missing_include_names_both_files(write: Write) -> None:
    main = write("main.yaml", "defaults: [nowhere]")
    with pytest.raises(
        FileNotFoundError, match=r"main.yaml:1: .*includes .*nowhere.yaml"
    ) as caught:
        load(main)
    assert isinstance(caught.value, MissingFileError)


def test_a_cycle_shows_the_chain(write: Write) -> None:
    write("a.yaml", "defaults: [b]")
    write("b.yaml", "defaults: [a]")
    with pytest.raises(ConfigError, match=r"cycle: .*a.yaml -> .*b.yaml -> .*a.yaml"):
        load(write("main.yaml", "defaults: [a]"))


def test_one_file_may_be_included_twice(write: Write) -> None:
    write("k/x.yaml", "v: 1")
    main = write("main.yaml", "defaults: [{k: x}, {l: k/x}]")
    assert load(main) == {"k": {"v": 1}, "l": {"v": 1}}


def test_override_replaces_at_any_depth(write: Write) -> None:
    write("base.yaml", "a: {b: {old: 1}, keep: 1}\nitems: [{x: 1}]")
    main = write(
        "main.yaml",
        "defaults: [base]\na:\n  override b: {new: 2}\n"
        "items: [{override x: {y: 1}}]\noverride n: 3",
    )
    assert load(main) == {"a": {"b": {"new": 2}, "keep": 1}, "items": [{"x": {"y": 1}}], "n": 3}


def test_override_of_an_include_still_replaces_what_lies_below(write: Write) -> None:
    write("mid.yaml", "override opt: {lr: 1}")
    user = compose(write("user.yaml", "defaults: [mid]\nopt: {eps: 2}"))
    default = compose(write("default.yaml", "opt: {_target_: x.Old, momentum: 3}"))
    assert finish(merge(default, user)).content == {"opt": {"lr": 1, "eps": 2}}


def test_a_changed_target_warns_about_inherited_arguments(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write("base.yaml", "opt: {_target_: a.Adam, lr: 1, eps: 2}")
    with caplog.at_level(logging.WARNING):
        load(write("main.yaml", "defaults: [base]\nopt:\n  eps: 3\n  _target_: a.AdamW"))
    (record,) = caplog.records
    text = record.getMessage()
    assert "main.yaml:4: opt: _target_ changes from a.Adam to a.AdamW" in text
    assert "inherits lr;" in text
    assert "override opt:" in text


@pytest.mark.parametrize(
    "change",
    ["opt: {lr: 3}", "opt: {_target_: a.Adam}", "override opt: {_target_: a.B}", "opt: null"],
)
def test_other_changes_do_not_warn(
    write: Write, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    write("base.yaml", "opt: {_target_: a.Adam, lr: 1}")
    load(write("main.yaml", f"defaults: [base]\n{change}"))
    assert not caplog.records


def test_positions_follow_the_file_that_set_the_value(write: Write) -> None:
    write("base.yaml", "a: 1\nb: {x: 1, y: 2}\nc: [{z: 1}, {w: 1}]\nd: 1\ne: {f: 1}")
    main = write("main.yaml", "defaults: [base]\nb:\n  y: 3\nc: [{v: 1}]\nd: ???\noverride e: {}")
    positions = finish(compose(main)).positions
    found = {key: (Path(p.file).name, p.line) for key, p in positions.items()}
    assert found == {
        "a": ("base.yaml", 1),
        "b": ("main.yaml", 2),
        "b.x": ("base.yaml", 2),
        "b.y": ("main.yaml", 3),
        "c": ("main.yaml", 4),
        "c.0": ("main.yaml", 4),
        "c.0.v": ("main.yaml", 4),
        "d": ("base.yaml", 4),
        "e": ("main.yaml", 6),
    }
