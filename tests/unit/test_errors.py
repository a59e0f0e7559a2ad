from __future__ import annotations

import importlib
import pickle

import pytest

from espnet3 import errors
from espnet3.errors import ConfigError, MissingFileError, did_you_mean


def test_message_names_file_line_key_value_and_fix() -> None:
    error = ConfigError("expected int", key="a.b", file="x.yaml", line=3, value="q", hint="do it")
    assert str(error) == "x.yaml:3: a.b = 'q': expected int\n  do it"
    assert (error.key, error.file, error.line, error.value) == ("a.b", "x.yaml", 3, "q")


def test_value_none_is_shown_only_when_it_was_given() -> None:
    assert str(ConfigError("bad", key="a", value=None)) == "a = None: bad"
    assert str(ConfigError("bad", key="a")) == "a: bad"


def test_at_adds_the_place_and_keeps_what_is_known() -> None:
    error = ConfigError("bad", key="a", value=1, hint="old").at("f.yaml", 2, hint="new")
    assert str(error) == "f.yaml:2: a = 1: bad\n  old"
    assert str(ConfigError("bad", key="a").at("f", key="s.a", hint="new")) == "f: s.a: bad\n  new"


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConfigError", ValueError),
        ("UnknownKeyError", ValueError),
        ("SettingError", AssertionError),
        ("MissingConfigError", RuntimeError),
        ("MissingFileError", FileNotFoundError),
        ("StageError", RuntimeError),
        ("DataError", ValueError),
        ("ModelOutputError", TypeError),
        ("ParallelError", RuntimeError),
        ("BundleError", RuntimeError),
        ("WeightsError", RuntimeError),
        ("UntrustedTargetError", ValueError),
        ("MissingDependencyError", ImportError),
    ],
)
def test_each_error_is_also_the_expected_builtin(name: str, builtin: type[Exception]) -> None:
    cls = getattr(errors, name)
    assert issubclass(cls, builtin)
    assert issubclass(cls, errors.Espnet3Error)
    assert str(cls("what happened")) == "what happened"


@pytest.mark.parametrize("transport", ["alone", "beside Dask"])
def test_errors_keep_their_text_through_pickling(transport: str) -> None:
    if transport == "beside Dask":  # replaces the way in which exceptions are pickled
        importlib.import_module("distributed")
    error = MissingFileError("no such file", key="k", file="f.yaml", line=1)
    error.add_note("while reading")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is MissingFileError
    assert str(copy) == str(error)
    assert str(copy.at("g.yaml")) == "g.yaml: k: no such file"
    assert copy.__notes__ == ["while reading"]


def test_did_you_mean_names_close_candidates_only() -> None:
    assert did_you_mean("batch_sise", ["batch_size", "shuffle"]) == 'did you mean "batch_size"?'
    assert did_you_mean("aab", ["aac", "aad"]) == 'did you mean "aad" or "aac"?'
    assert did_you_mean("aab", ["aac", "aac"]) == 'did you mean "aac"?'
    assert did_you_mean("zzz", ["batch_size"]) is None
