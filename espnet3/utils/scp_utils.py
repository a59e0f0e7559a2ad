"""SCP files: UTF-8 text, one ``id value`` per line."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet3.errors import ScpError, did_you_mean
from espnet3.utils.path_utils import atomic_open
from espnet3.utils.types import PathLike, UttId

# Everything that str.splitlines treats as the end of a line.
_LINE_BREAKS = re.compile("[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]+")


def get_class_path(obj: Any) -> str:
    """Return ``module.ClassName`` of an instance."""
    return f"{type(obj).__module__}.{type(obj).__name__}"


def read_scp(path: PathLike) -> Generator[tuple[UttId, str], None, None]:
    """Yield ``(id, value)`` of every line that is not blank; a lone id has the value ``""``.

    Raises:
        ScpError: If the file is not UTF-8, or begins with a byte-order mark.
    """
    try:
        with Path(path).open(encoding="utf-8") as stream:
            for number, line in enumerate(stream):
                if not number and line.startswith("\ufeff"):
                    raise ScpError(
                        f"{path} begins with a byte-order mark (U+FEFF), which would be part of "
                        "its first id\n  save it as UTF-8 without one"
                    )
                parts = line.split(maxsplit=1)
                if parts:
                    yield parts[0], parts[1].rstrip() if len(parts) > 1 else ""
    except UnicodeDecodeError as error:
        raise ScpError(f"{path} is not UTF-8 text ({error})\n  write it again") from error


def write_scp(path: PathLike, rows: Iterable[tuple[UttId, str]]) -> None:
    """Write an SCP file atomically.

    Raises:
        ScpError: If an id is empty, holds whitespace or occurs twice.
    """
    seen: set[UttId] = set()
    with atomic_open(path) as stream:
        for utt_id, value in rows:
            check_id(utt_id, seen)
            stream.write(format_line(utt_id, value))


def check_id(utt_id: UttId, seen: set[UttId]) -> None:
    """Add an id to ``seen``, or raise if it cannot stand in an SCP file.

    Raises:
        ScpError: If it is empty, holds whitespace or is in ``seen``.
    """
    if utt_id.split() != [utt_id]:
        raise ScpError(f"sample id {utt_id!r} is empty or holds whitespace, so no SCP can hold it")
    if utt_id in seen:
        raise ScpError(f"sample id {utt_id!r} occurs twice; ids of a test set must differ")
    seen.add(utt_id)


def format_line(utt_id: UttId, value: str) -> str:
    """Return one SCP line, with its newline; ``value`` must not hold a line break."""
    return f"{utt_id} {value}\n"


def join_lines(text: str) -> str:
    """Replace each run of line breaks by one space."""
    # No line break is printable; asking for that is faster than a search.
    return text if text.isprintable() else _LINE_BREAKS.sub(" ", text)


def load_scp_paths(
    inference_dir: PathLike,
    test_name: str,
    inputs: Sequence[str] | Mapping[str, str],
    file_suffix: str = ".scp",
) -> dict[str, Path]:
    """Return the SCP file of each input, without reading any.

    Args:
        inference_dir: Folder that ``infer`` wrote.
        test_name: Name of the test set, a folder below ``inference_dir``.
        inputs: File names without suffix, or alias to file name.
        file_suffix: Suffix of the files.

    Raises:
        ScpError: If the folder of the test set or a file is absent.
    """
    folder = Path(inference_dir) / test_name
    if not folder.is_dir():
        raise ScpError(
            f"{folder}: no such folder, so test set {test_name!r} has no outputs\n"
            "  run the stage `infer` first, or correct `inference_dir`"
        )
    names = dict(inputs) if isinstance(inputs, Mapping) else {name: name for name in inputs}
    return {alias: _existing(folder, f"{name}{file_suffix}") for alias, name in names.items()}


def _existing(folder: Path, name: str) -> Path:
    path = folder / name
    if path.is_file():
        return path
    present = sorted(p.name for p in folder.iterdir() if p.suffix == path.suffix)
    listing = f"the folder has: {', '.join(present) or 'no such files'}"
    hint = did_you_mean(name, present)
    raise ScpError(f"{path}: no such file\n  {listing}" + (f"; {hint}" if hint else ""))
