"""Texts that others chose (names, keys, messages about them), made safe to show."""

from __future__ import annotations

import contextlib
from types import TracebackType

from espnet3.errors import BundleError

_MARGIN = "  "


def printable(value: object) -> str:
    r"""Return a text on one line, with escapes for what moves a cursor, or hides or turns text.

    Example:
        >>> print(printable("a\x1b[2K\nb"), printable("\u202etxt.exe"), printable("große 数字"))
        a\x1b[2K\nb \u202etxt.exe große 数字
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_message(value: object) -> str:
    r"""Return a message of any number of lines, all of them printable.

    Lines after the first are indented, so none of them looks like a message of its own.

    Example:
        >>> print(printable_message("no tensor a\x1b[2K\nerror: none"))
        no tensor a\x1b[2K
          error: none
    """
    first, *rest = (printable(line.expandtabs(4)) for line in str(value).split("\n"))
    return "\n".join([first, *(_indented(line) for line in rest)])


class printable_errors(contextlib.ContextDecorator):  # noqa: N801 - used like a function
    """Make what is raised inside the block printable, with its notes and causes.

    It is the same object that goes on, unless its class does not let its text be changed.

    Raises:
        BundleError: In the place of such an error.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not _mend(error):
            raise BundleError(printable_message(error)) from None


def _indented(line: str) -> str:
    return line if not line or line.startswith(_MARGIN) else f"{_MARGIN}{line}"


def _mend(error: BaseException) -> bool:
    """Change an error and those behind it; tell whether its own text is printable now."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or found in seen:
            continue
        seen.append(found)
        if hasattr(found, "__notes__"):
            found.__notes__ = [printable_message(note) for note in found.__notes__]
        if not _is_printable(found):
            found.args = tuple(
                printable_message(value) if isinstance(value, str) else value
                for value in found.args
            )
        waiting += [found.__cause__, found.__context__]
    if not all(map(_is_printable, seen[1:])):
        error.__cause__ = None  # also hides the context
    return _is_printable(error)


def _is_printable(error: BaseException) -> bool:
    text = str(error)
    return text == printable_message(text)
