"""Run the synthesiser over parts of the corpus, each in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from espnet3.errors import DataError
from espnet3.utils.import_utils import is_available, require_package
from espnet3.utils.path_utils import atomic_directory
from espnet3.utils.progress import progress_bar

from .plan import Utterance

SCRIPT = Path(__file__).with_name("synthesizer.py")
_PACKAGE = "espeakng_loader"


@dataclasses.dataclass(frozen=True)
class Part:
    """Utterances that one process speaks, and the folder for them, relative to the data folder."""

    folder: Path
    utterances: Sequence[Utterance]


def split_parts(split: str, utterances: Sequence[Utterance], size: int) -> Iterator[Part]:
    """Cut a split into parts of at most ``size`` utterances."""
    for number, start in enumerate(range(0, len(utterances), size)):
        yield Part(Path("wav", split, f"{number:03d}"), utterances[start : start + size])


def is_installed() -> bool:
    """Tell whether eSpeak NG is there, without importing anything."""
    return is_available(_PACKAGE)


def locate_synthesizer() -> dict[str, str]:
    """Return the paths of the eSpeak NG ``library`` and its ``data``.

    Raises:
        MissingDependencyError: If the package that brings them is not installed.
    """
    loader = require_package(_PACKAGE, extra="digits", feature="synthesising mini_digits")
    return {"library": str(loader.get_library_path()), "data": str(loader.get_data_path())}


def speak_parts(root: Path, parts: Sequence[Part], sample_rate: int, num_processes: int) -> None:
    """Make the parts that do not exist yet.

    Args:
        root: Data folder.
        parts: What to make.
        sample_rate: Of the WAV files, in Hz.
        num_processes: Parts to make at a time.

    Raises:
        DataError: If the synthesiser fails; finished parts stay.
    """
    todo = [part for part in parts if not (root / part.folder).is_dir()]
    total = sum(len(part.utterances) for part in parts)
    done = total - sum(len(part.utterances) for part in todo)
    job = {**locate_synthesizer(), "sample_rate": sample_rate}
    with (
        progress_bar(total, "synthesise", initial=done) as progress,
        ThreadPoolExecutor(num_processes) as pool,
    ):
        futures = [pool.submit(_speak_part, root, part, job, progress.update) for part in todo]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _speak_part(
    root: Path, part: Part, job: Mapping[str, Any], advance: Callable[[int], Any]
) -> None:
    utterances = [dataclasses.asdict(utterance) for utterance in part.utterances]
    with (
        atomic_directory(root / part.folder) as folder,
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+") as stderr,
    ):
        json.dump({**job, "out_dir": str(folder), "utterances": utterances}, stdin)
        stdin.seek(0)
        # -P keeps the script's folder off the path: its siblings must not shadow any library.
        command = [sys.executable, "-P", str(SCRIPT)]
        with subprocess.Popen(  # noqa: S603  # our own script, no shell
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process:
            if process.stdout is not None:
                for _line in process.stdout:
                    advance(1)
        if process.returncode != 0:
            stderr.seek(0)
            reason = stderr.read().strip().rpartition("\n")[2] or f"status {process.returncode}"
            raise DataError(
                f"{root / part.folder}: the synthesiser failed: {reason}\n"
                "  run create_dataset again to continue; finished parts are kept"
            )
