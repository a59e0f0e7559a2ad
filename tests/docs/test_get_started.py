"""The model of the page "Get started" trains on the data of the recipe that it is put into."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import REPO_ROOT
from tests.docs.pages import COMMANDS, FILES, run_commands, write_files

PAGE = REPO_ROOT / "docs" / "get_started.md"


def test_the_model_of_the_page_trains(tmp_path: Path) -> None:
    section = PAGE.read_text().partition("## Your own model\n")[2].partition("\n## ")[0]
    copy, train = COMMANDS.findall(section)
    files = FILES.findall(section)
    assert [name for name, _ in files] == ["src/model.py", "src/criterion.py", "conf/my_model.yaml"]
    recipe = tmp_path / "digits/asr"
    run_commands(tmp_path, copy.replace("espnet3 new", "python -m espnet3 new"))  # installed or not
    write_files(recipe, dict(files))
    run_commands(recipe, train)
    (experiment,) = (recipe / "exp").glob("smoke_my_model")
    facts = json.loads((experiment / "effective_run.json").read_text())
    assert facts["model"].startswith("MyModel: ")
    assert (experiment / "last.ckpt").exists()
