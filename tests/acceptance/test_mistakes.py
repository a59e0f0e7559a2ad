"""Each mistake gives one message with place, cause and remedy, before any data or torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.mistakes import MISTAKES, Mistake
from tests.conftest import REPO_ROOT
from tests.recipes.shipped import copy_recipe, run_recipe

PAGE = REPO_ROOT / "docs" / "guides" / "mistakes.md"
WRITE = "ESPNET3_WRITE_MISTAKES"
HEAD = """\
# Mistakes and messages

What `run.py` says about mistakes in a recipe, here in `egs3/fsdd/asr` with all its stages. Each
message comes before the first stage starts: no data is read, torch is not loaded and no file or
folder is made. `espnet3 check` finds the same ones, but for those of the command line.

This page is written by `make mistakes`, which runs every line of it; the tests compare.
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    return copy_recipe("fsdd/asr", folder)


@pytest.fixture(scope="session")
def results(recipe: Path) -> dict[str, dict[str, Any]]:
    cases = [{"edits": m.edits, "words": m.words} for m in MISTAKES]
    environment = {k: v for k, v in os.environ.items() if "RANK" not in k}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_mistakes.py"))],
        cwd=recipe,
        env={**environment, "PYTHONPATH": str(REPO_ROOT), "COLUMNS": "1000"},
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {key(m): result for m, result in zip(MISTAKES, found, strict=True)}


def key(mistake: Mistake) -> str:
    return f"{mistake.group}: {mistake.title}"


def message(text: str, recipe: Path) -> str:
    """Return the final message of a run, without paths of this machine."""
    _, mark, tail = text.rpartition("error: ")
    assert mark, text
    for folder, name in ((recipe, "."), (REPO_ROOT, "<espnet3>"), (recipe.parent, "..")):
        tail = tail.replace(f"{folder}{os.sep}", f"{name}/" if name != "." else "")
    return tail.strip()


@pytest.mark.parametrize("mistake", MISTAKES, ids=key)
def test_a_mistake_is_one_message_before_anything_happens(
    mistake: Mistake, results: dict[str, dict[str, Any]], recipe: Path
) -> None:
    result = results[key(mistake)]
    text = result["text"]
    assert result["status"] == mistake.status, text
    assert "Traceback" not in text
    assert len(re.findall(r"^(?:run\.py: )?error: ", text, re.MULTILINE)) == 1, text
    assert "mistakes:" not in text
    for part in mistake.says:
        assert part in message(text, recipe), text
    assert result["created"] == []
    assert result["heavy"] == []


def test_there_are_enough_mistakes_of_every_kind() -> None:
    assert len(MISTAKES) >= 100
    assert len({key(mistake) for mistake in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES[:: len(MISTAKES) // 4], ids=key)
def test_a_process_of_its_own_says_the_same(
    mistake: Mistake, results: dict[str, dict[str, Any]], recipe: Path, tmp_path: Path
) -> None:
    own = copy_recipe("fsdd/asr", tmp_path)
    for name, old, new in mistake.edits:
        text = (own / name).read_text()
        (own / name).write_text(text.replace(old, new, 1) if old else new + text)
    done = run_recipe(own, *mistake.words)
    assert done.returncode == mistake.status
    expected = message(results[key(mistake)]["text"], recipe)
    assert message(done.stderr, own) == expected


def test_the_recipe_itself_has_none(recipe: Path) -> None:
    done = run_recipe(recipe, *MISTAKES[0].words, "--dry_run")
    assert done.returncode == 0, done.stderr


def code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def render(results: dict[str, dict[str, Any]], recipe: Path) -> str:
    lines = [HEAD]
    for group in dict.fromkeys(mistake.group for mistake in MISTAKES):
        lines += [f"## {group}\n", "| mistake | message |", "|---|---|"]
        for mistake in (m for m in MISTAKES if m.group == group):
            text = message(results[key(mistake)]["text"], recipe)
            shown = "<br>".join(code(line.strip()) for line in text.splitlines())
            lines.append(f"| {cell(mistake.title)} | {cell(shown)} |")
        lines.append("")
    return "\n".join(lines)


def test_the_page_shows_what_is_said(results: dict[str, dict[str, Any]], recipe: Path) -> None:
    text = render(results, recipe)
    assert str(recipe) not in text
    assert str(REPO_ROOT) not in text
    if os.environ.get(WRITE):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "run `make mistakes`"
