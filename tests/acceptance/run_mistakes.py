"""Run many command lines of one recipe in one fresh interpreter and report what each one did.

Reads ``[{"edits": [[file, old, new], …], "words": […]}, …]`` from stdin, in the recipe's folder.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import runpy
import sys
from pathlib import Path
from typing import Any

HEAVY = {"torch", "asyncio", "lightning", "dask", "hydra", "soundfile", "sentencepiece"}


def apply(edits: list[list[str]]) -> dict[Path, bytes | None]:
    """Edit files; return what they held before. An empty ``old`` writes a new file."""
    before: dict[Path, bytes | None] = {}
    for name, old, new in edits:
        path = Path(name)
        text = path.read_text() if path.exists() else ""
        assert old in text, (name, old)
        before.setdefault(path, path.read_bytes() if path.exists() else None)
        path.write_text(text.replace(old, new, 1) if old else new + text)
    return before


def restore(before: dict[Path, bytes | None]) -> None:
    for path, content in before.items():
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)


def tree() -> set[str]:
    return {str(path) for path in Path().rglob("*") if "__pycache__" not in path.parts}


def run(words: list[str]) -> tuple[int, str]:
    """Run ``run.py`` as a user does; return its status and what it wrote."""
    stream = io.StringIO()
    sys.argv = ["run.py", *words]
    logging.getLogger().handlers.clear()
    with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(stream):
        try:
            runpy.run_path("run.py", run_name="__main__")
        except SystemExit as error:
            return int(error.code or 0), stream.getvalue()
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            return 1, stream.getvalue()
    return 0, stream.getvalue()


def main() -> None:
    results: list[dict[str, Any]] = []
    for case in json.load(sys.stdin):
        before = apply(case["edits"])
        files = tree()
        status, text = run(case["words"])
        created = sorted(tree() - files)
        restore(before)
        for path in reversed(created):
            Path(path).rmdir() if Path(path).is_dir() else Path(path).unlink()
        heavy = sorted(HEAVY & set(sys.modules))
        results.append({"status": status, "text": text, "created": created, "heavy": heavy})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
