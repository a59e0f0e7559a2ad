"""What the documentation shows is what works: every fenced snippet is run or parsed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPO_ROOT

PAGES = [REPO_ROOT / "README.md", *sorted((REPO_ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)(?: [^\n]*)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE_HEADER = re.compile(r"# (\S+\.py)\n")
CUSTOM_STAGES = ["report", "export_debug", "train_easy", "train_full", "list_mistakes"]


def _check_file(name: str, body: str) -> None:
    """Write a snippet that shows a recipe's file; import it, or ask ``run.py`` for its help."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body)
    command = ["run.py", "--help"] if name == "run.py" else ["-c", f"import {_module(path)}"]
    search_path = os.pathsep.join([".", str(REPO_ROOT)])
    environment = {**os.environ, "PYTHONPATH": search_path}
    subprocess.run([sys.executable, *command], check=True, env=environment, stdout=subprocess.PIPE)


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _check_command(line: str) -> None:
    """Check one shell line: make targets exist, the words of run.py and espnet3 parse."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["make"]:
        makefile = (REPO_ROOT / "Makefile").read_text()
        targets = [w for w in words[1:] if "=" not in w]
        assert all(re.search(rf"^{t}:", makefile, re.MULTILINE) for t in targets), line
    elif words[:2] == ["python", "run.py"]:
        from egs3.TEMPLATE.asr.run import ALL_STAGES, build_parser

        parser = build_parser([*ALL_STAGES, *CUSTOM_STAGES])
        parser.add_argument("--training_easy_config")
        parser.add_argument("--training_full_config")
        parser.parse_args(words[2:])
    elif words[:1] == ["espnet3"]:
        from espnet3.cli.main import build_parser as build_command_parser

        build_command_parser().parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO_ROOT)))
def test_snippets_of_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "snippet"}
    for language, body in FENCE.findall(page.read_text("utf-8")):
        header = FILE_HEADER.match(body)
        if language == "python" and header:
            _check_file(header[1], body)
        elif language == "python":
            exec(compile(body, str(page), "exec", dont_inherit=True), namespace)
        elif language == "yaml":
            assert yaml.safe_load(body) is not None
        elif language == "bash":
            for line in re.sub(r"\\\n\s*", " ", body).splitlines():
                _check_command(line)
        else:
            assert language in {"text", "mermaid"}, f"unknown fence {language!r}"
