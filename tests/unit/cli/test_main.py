"""The verbs of the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

import espnet3
from espnet3.cli.main import VERBS, build_parser, main
from tests.conftest import REPO_ROOT


def test_every_verb_is_a_module_with_add_parser_and_run():
    for verb in VERBS:
        assert callable(verb.add_parser) and callable(verb.run)


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"espnet3 {espnet3.__version__}\n"


def test_flags_cannot_be_shortened():
    with pytest.raises(SystemExit):
        build_parser().parse_args(["new", "--lis"])


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "espnet3", "new", "--list"]
    done = subprocess.run(command, cwd=REPO_ROOT, capture_output=True, text=True, check=True)
    assert "mini_digits/asr" in done.stdout


def test_without_a_verb_the_help_is_shown(capsys):
    assert main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: espnet3") and "check" in error and "doctor" in error
