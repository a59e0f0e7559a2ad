"""Errors of a command line name what was probably meant."""

from __future__ import annotations

import pytest

from espnet3.cli.main import build_parser


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["chek"], 'did you mean "check"?'),
        (["doctor", "--helf"], 'did you mean "--help"?'),
        (["zzz"], None),
    ],
)
def test_the_nearest_verb_or_flag_is_named(words, hint, capsys):
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(words)
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert hint in text if hint else "did you mean" not in text
