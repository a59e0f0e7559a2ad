"""Errors of the YAML parser come with advice."""

from __future__ import annotations

import pytest

from espnet3.errors import ConfigError
from espnet3.utils.yaml_source import parse_yaml


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: 1\n\tb: 2\n", "indent with blanks"),
        ("a:1\n\nb: 2\n", "line 1: write a blank after the colon"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "it is in line 2 too"),
        ("b: 0\na: {b: 1, b: 2}\n", "it is in this line twice"),
        ("a: 1\nb:\n  c: 1\nb: 3\n", "it is in line 2 too"),
        ("a:\n  - b\n  c: 1\n", "check the indentation"),
        ("a: [1, 2\nb: 3\n", None),
        ("patterns: [*.bin]\n", 'put a text that begins with * in quotes: "*"'),
    ],
)
def test_hints(text: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x.yaml")
    if hint is None:
        assert caught.value.hint is None
    else:
        assert hint in (caught.value.hint or "")
