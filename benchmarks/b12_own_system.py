"""B12: non-blank lines of model, data set and configuration that a new task's recipe needs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "guides" / "own_system.md"
LIMIT = 30
RECIPE = "egs3/tones/pitch/"
_FENCE = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read_files(page: Path = PAGE) -> dict[str, str]:
    """Return the files that a page shows, without the line that names them."""
    return dict(_FENCE.findall(page.read_text(encoding="utf-8")))


def count_lines(text: str) -> int:
    """Count the lines that are not blank."""
    return sum(1 for line in text.splitlines() if line.strip())


def count_recipe(files: dict[str, str]) -> dict[str, int]:
    """Return the lines of model, data set and configuration, by file."""
    counted = ("src/", "dataset/", "conf/")
    names = [name for name in files if name.removeprefix(RECIPE).startswith(counted)]
    return {name: count_lines(files[name]) for name in names}


def main() -> int:
    """Print the counts; the status says whether the limit is kept."""
    files = read_files()
    counts = count_recipe(files)
    for name, text in files.items():
        print(f"{count_lines(text):4}  {'*' if name in counts else ' '} {name}")
    total = sum(counts.values())
    print(f"{total:4}  * model + data set + configuration (limit {LIMIT})")
    return int(total > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
