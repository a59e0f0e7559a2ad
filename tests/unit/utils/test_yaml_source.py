from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from espnet3.errors import ConfigError, MissingFileError
from espnet3.utils import yaml_source
from espnet3.utils.yaml_source import SourcePosition, parse_yaml, read_yaml


def test_every_key_and_item_has_a_position() -> None:
    document = parse_yaml("a:\n  - x\n  - b: 1\n    2: y\n", "f")
    assert document.value == {"a": ["x", {"b": 1, 2: "y"}]}
    lines = {key: place.line for key, place in document.positions.items()}
    assert lines == {"a": 1, "a.0": 2, "a.1": 3, "a.1.b": 3, "a.1.2": 4}
    assert document.positions["a"] == SourcePosition("f", 1)


def test_values_are_read_as_omegaconf_reads_them() -> None:
    document = parse_yaml("a: 1e-3\nb: 2020-01-01\nc: ~\n", "f")
    assert document.value == {"a": 0.001, "b": "2020-01-01", "c": None}


def test_merge_keys_and_aliases_have_positions() -> None:
    document = parse_yaml("base: &b {x: 1}\nuse:\n  <<: *b\n  y: 2\n", "f")
    assert document.value["use"] == {"x": 1, "y": 2}
    assert document.positions["use.x"].line == 1
    assert document.positions["use.y"].line == 4


def test_empty_text_is_nothing() -> None:
    assert parse_yaml("# only a comment\n", "f").value is None


@pytest.mark.parametrize(
    ("text", "cls", "message"),
    [
        ("a: 1\n\tb: 2", yaml.scanner.ScannerError, "f:2: .*\n  indent with blanks"),
        ("a: {b: 1\n", yaml.parser.ParserError, "f:2: while parsing a flow mapping"),
        ("a: 1\nb: 2\na: 3", yaml.constructor.ConstructorError, "f:3: .*duplicate key a"),
        ("a: !thing 1", yaml.constructor.ConstructorError, "f:1: .*!thing"),
        ("a: *b", yaml.composer.ComposerError, "f:1: found undefined alias"),
        ("a: 1\n---\nb: 1", yaml.composer.ComposerError, "f:2: expected a single document"),
        ("a: 1\nb: \x01", yaml.reader.ReaderError, r"f:2: YAML forbids the character U\+0001"),
    ],
)
def test_syntax_errors_are_yaml_errors_with_file_and_line(
    text: str, cls: type[yaml.YAMLError], message: str
) -> None:
    with pytest.raises(cls, match=message) as caught:
        parse_yaml(text, "f")
    assert isinstance(caught.value, ConfigError)
    assert caught.value.file == "f"


def test_a_marked_error_keeps_its_mark() -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        parse_yaml("a: [1\n", "f")
    assert caught.value.problem_mark is not None


def test_a_file_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ConfigError, match="nested too deeply") as caught:
        parse_yaml("[" * 3000, "a.yaml")
    assert caught.value.file == "a.yaml"


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: {c: *x}}"])
def test_a_node_that_holds_itself_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="an alias refers to a node that holds it"):
        parse_yaml(text, "f")


@pytest.mark.parametrize("text", ["~: 1", "[1]: 2"])
def test_keys_are_text_or_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match="f:1"):
        parse_yaml(text, "f")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    first = read_yaml(path)
    assert read_yaml(path) is first
    path.write_text("a: 22")
    assert read_yaml(path).value == {"a": 22}


def test_files_that_cannot_be_configurations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="is not a regular file"):
        read_yaml(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a regular file"):
        read_yaml(tmp_path / "pipe")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    with pytest.raises(ConfigError, match=r"latin.yaml: is not UTF-8 text"):
        read_yaml(tmp_path / "latin.yaml")
    with pytest.raises(MissingFileError):
        read_yaml(tmp_path / "latin.yaml" / "below")
    monkeypatch.setattr(yaml_source, "MAX_BYTES", 3)
    with pytest.raises(ConfigError, match="is larger than 3 bytes"):
        read_yaml(tmp_path / "latin.yaml")
