from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.errors import BundleError, InputKeyError, MissingFileError
from espnet3.utils.printable import printable, printable_errors, printable_message

EVIL = "a\x1b[2K\r\u202e\nerror: none"


@given(st.text())
def test_whatever_it_was_is_one_printable_line(text):
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


@given(st.text())
def test_lines_after_the_first_are_indented_and_nothing_changes_twice(text):
    first, *rest = printable_message(text).split("\n")
    assert first.isprintable()
    assert all(not line or (line.startswith("  ") and line.isprintable()) for line in rest)
    assert printable_message(printable_message(text)) == printable_message(text)


class StubbornError(Exception):
    def __str__(self):
        return EVIL


def caught(error):
    with pytest.raises(Exception) as found, printable_errors():
        raise error
    return found.value


@pytest.mark.parametrize(
    "kind", [TypeError, BundleError, InputKeyError, MissingFileError, KeyError, RuntimeError]
)
def test_the_same_error_goes_on_with_a_text_that_shows_everything(kind):
    error = kind(EVIL)
    assert caught(error) is error
    assert r"a\x1b[2K\r\u202e" in str(error).replace("\\\\", "\\")
    assert str(error) == printable_message(str(error))


def test_notes_and_what_an_error_comes_from_are_shown_alike():
    error = TypeError(EVIL)
    error.add_note(f"while building {EVIL}")
    error.__cause__ = KeyError("x")
    error.__cause__.__context__ = RuntimeError(EVIL)
    text = "".join(traceback.format_exception(caught(error)))
    assert not {"\x1b", "\r", "\u202e"} & set(text)
    assert "\nerror: none" not in text


def test_an_error_whose_text_cannot_be_changed_is_replaced():
    assert type(caught(StubbornError())) is BundleError
    behind = TypeError("fine")
    behind.__cause__ = StubbornError()
    text = "".join(traceback.format_exception(caught(behind)))
    assert "\x1b" not in text
    assert "TypeError: fine" in text


def test_a_printable_error_keeps_its_arguments():
    error = OSError(2, "No such file", "x")
    assert caught(error).args == (2, "No such file")
    assert not hasattr(error, "__notes__")
