"""The model of the page "Get started" trains on the data of the recipe that it is put into."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPO_ROOT

PAGE = REPO_ROOT / "docs" / "get_started.md"
FILES = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_model_of_the_page_trains(tmp_path: Path) -> None:
    section = PAGE.read_text().partition("## Your own model\n")[2].partition("\n## ")[0]
    copy, train = COMMANDS.findall(section)
    files = FILES.findall(section)
    assert [name for name, _ in files] == ["src/model.py", "src/criterion.py", "conf/my_model.yaml"]
    copy = copy.replace("espnet3 new", "python -m espnet3 new")  # installed or not
    writes = "".join(f"cat > {name} <<'END'\n{text}END\n" for name, text in files)
    python = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if "RANK" not in k} | {
        "PATH": f"{python}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPO_ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-ec", copy + writes + train],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (experiment,) = (tmp_path / "digits/asr/exp").glob("smoke_my_model")
    facts = json.loads((experiment / "effective_run.json").read_text())
    assert facts["model"].startswith("MyModel: ")
    assert (experiment / "last.ckpt").exists()
