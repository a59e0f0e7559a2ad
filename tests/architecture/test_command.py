"""The `espnet3` command: where it starts, which verbs it has, what they load."""

from __future__ import annotations

import tomllib

import pytest

from espnet3.cli.main import VERBS, build_parser
from espnet3.utils.import_utils import import_object
from tests.architecture.test_import_sets import _third_party
from tests.conftest import REPO_ROOT

VERB_NAMES = {"new", "check", "doctor", "bundle", "demo"}
WAYS = {"bundle": ["scan", "."], "demo": ["."]}


def test_the_console_script_is_the_main_function() -> None:
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == {"espnet3"}
    module, _, function = project["scripts"]["espnet3"].partition(":")
    assert callable(import_object(f"{module}.{function}"))


def test_there_are_exactly_the_documented_verbs() -> None:
    assert {verb.__name__.rpartition(".")[2] for verb in VERBS} == VERB_NAMES
    page = (REPO_ROOT / "docs/guides/command.md").read_text()
    for name in VERB_NAMES:
        assert build_parser().parse_args([name, *WAYS.get(name, [])]).run
        assert f"## `espnet3 {name}`" in page


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in sorted(VERB_NAMES))])
def test_help_loads_the_standard_library_only(words: list[str]) -> None:
    code = (
        "from espnet3.cli.main import main\n"
        f"try:\n    main({words})\nexcept SystemExit as stopped:\n    assert not stopped.code"
    )
    assert _third_party(code) == set()
