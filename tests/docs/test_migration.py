"""The migration guide, followed literally in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import REPO_ROOT
from tests.docs.pages import COMMANDS, FILES, run_commands, write_files

PAGE = REPO_ROOT / "docs" / "guides" / "migration.md"


def test_the_guide_works_when_it_is_followed_literally(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    write_files(tmp_path, dict(FILES.findall(page)))
    run_commands(tmp_path, "".join(COMMANDS.findall(page)))
    scores = json.loads((tmp_path / "exp/training/inference/metrics.json").read_text())
    assert scores["espnet3.systems.asr.metrics.wer.WER"]["test"]["WER"] < 20
    history = (tmp_path / "exp/training_hub/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["values"]["loss"] for line in history if '"valid"' in line]
    assert losses[-1] < losses[0]
