"""Text in files of any name: told from other content by the first bytes, read piece by piece."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

_HEAD_BYTES = 8192
_PIECE = 2**20
_OVERLAP = 4096
"""Characters that two pieces of an endless line share, so that nothing is cut in two."""
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def find_encoding(path: Path) -> str | None:
    """Return the encoding of a text file, ``None`` for anything else.

    A byte-order mark decides; else what holds a zero byte is no text, and what is not UTF-8 is
    read as Latin-1, which can hold any byte.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked is not None or b"\0" in head:
        return marked
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < _HEAD_BYTES)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def iter_pieces(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number of the first line, and some lines of text; nothing for other files."""
    encoding = find_encoding(path)
    if encoding is None:
        return
    with path.open(encoding=encoding, errors="replace") as stream:
        yield from _cut_at_lines(stream)


def _cut_at_lines(stream: TextIO) -> Iterator[tuple[int, str]]:
    line, rest = 1, ""
    while piece := stream.read(_PIECE):
        text = rest + piece
        end = text.rfind("\n") + 1
        if end == 0:
            yield line, text
            rest = text[-_OVERLAP:]
            continue
        yield line, text[:end]
        line += text.count("\n", 0, end)
        rest = text[end:]
    if rest:
        yield line, rest
