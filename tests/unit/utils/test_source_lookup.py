from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from espnet3.utils.import_utils import import_object
from espnet3.utils.source_lookup import check_import_path, find_parameters

MODULE = """
import os.path
from json import dumps as to_text

if True:
    CONDITIONAL = 1
try:
    import fast_thing
except ImportError:
    fast_thing = None
first, (second, *rest) = 1, (2, 3)
annotated: int = 3

def function():
    local = 1

class Class:
    attribute = 1
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = tmp_path / "looked_up"
    (root / "sub" / "plain").mkdir(parents=True)
    files = {
        "__init__.py": "raise RuntimeError('never imported')",
        "module.py": MODULE,
        "star.py": "from .module import *",
        "lazy.py": "def __getattr__(name): ...",
        "syntax.py": "def broken(:",
        "sub/__init__.py": "from .deep import Deep",
        "sub/deep.py": "class Deep: ...",
        "sub/plain/leaf.py": "x = 1",
        "native.abi3.so": "",
    }
    for name, text in files.items():
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return root.name


@pytest.mark.parametrize(
    "path",
    [
        "module.function",
        "module.Class",
        "module.Class.attribute",
        "module.CONDITIONAL",
        "module.fast_thing",
        "module.os",
        "module.to_text",
        "module.first",
        "module.second",
        "module.rest",
        "module.annotated",
        "module",
        "sub.Deep",
        "sub.deep.Deep",
        "sub.plain.leaf.x",
        "sub.plain",
        "star.anything",
        "lazy.anything",
        "syntax.anything",
        "native.anything",
    ],
)
def test_names_that_exist_or_cannot_be_known_pass(package: str, path: str) -> None:
    assert check_import_path(f"{package}.{path}", key="k") is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("module.functoin", "looked_up.module was found, but it has no attribute 'functoin'"),
        ("module.local", "it has: CONDITIONAL, Class, annotated"),
        ("sub.Deeep", 'did you mean "Deep" or "deep"'),
        ("sub.zzz.Deep", "no attribute 'zzz'"),
        ("modul.function", 'did you mean "module"'),
    ],
)
def test_wrong_names_are_reported_with_a_suggestion(package: str, path: str, message: str) -> None:
    error = check_import_path(f"{package}.{path}", key="model._target_")
    assert error is not None
    assert message in str(error)
    assert error.key == "model._target_"


@pytest.mark.parametrize("path", ["", "a b", "a..b", 3, ["x"]])
def test_text_that_is_no_path(path: object) -> None:
    assert "is not a dotted import path" in str(check_import_path(path, key="k"))


def test_a_missing_package_and_a_half_imported_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no module named 'nowhere_at_all'" in str(check_import_path("nowhere_at_all.x", key="k"))
    assert check_import_path("json.dumps", key="k") is None
    assert check_import_path("sys.anything", key="k") is None
    monkeypatch.setitem(sys.modules, "half_imported", type(sys)("half_imported"))
    assert "no module named" in str(check_import_path("half_imported.x", key="k"))


def test_torch_is_looked_up_without_importing_it() -> None:
    code = (
        "import sys; from espnet3.utils.source_lookup import check_import_path as c;"
        "assert c('torch.optim.AdamW', key='k') is None;"
        "assert 'RAdam' in str(c('torch.optim.AdamV', key='k'));"
        "assert c('lightning.pytorch.loggers.CSVLogger', key='k') is None;"
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


SIGNATURES = """
from dataclasses import dataclass

def trusted_target(x): return x
def other(x): return x

def function(a, b: int = 1, *, c: float | None = None): ...
def open_end(a, **kwargs): ...
@other
def wrapped(a): ...
class Base:
    def __init__(self, size: int, flag: bool, name: str): ...
@trusted_target
class Child(Base): ...
class Grandchild(Child): ...
class Two(Base, Child): ...
class Made(metaclass=type):
    def __init__(self, a): ...
class New:
    def __new__(cls, a): ...
    def __init__(self, a): ...
class Bare: ...
class Circular(Circular): ...
@dataclass
class Data:
    a: int
if True:
    def twice(a): ...
def again(a): ...
def again(b): ...
"""


@pytest.fixture
def signatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = tmp_path / "signed"
    (root / "sub").mkdir(parents=True)
    (root / "__init__.py").write_text(
        "from .sub import Child as Renamed\nfrom .sub.leaf import f\n"
    )
    (root / "sub" / "__init__.py").write_text(
        "from signed.sub.leaf import *\nfrom .leaf import Child"
    )
    (root / "sub" / "leaf.py").write_text(
        "from ..code import Child\nfrom .leaf import loop\ndef f(z): ...\n"
    )
    (root / "code.py").write_text(SIGNATURES)
    monkeypatch.syspath_prepend(str(tmp_path))
    return root.name


BASE = {"size": int, "flag": bool, "name": Any}


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("code.function", {"a": Any, "b": int, "c": float}),
        ("code.Base", BASE),
        ("code.Child", BASE),
        ("code.Grandchild", BASE),
        ("Renamed", BASE),
        ("sub.leaf.f", {"z": Any}),
        ("f", {"z": Any}),
    ],
)
def test_arguments_are_read_from_the_source(signatures, path, parameters) -> None:
    assert find_parameters(f"{signatures}.{path}") == parameters


@pytest.mark.parametrize(
    "path",
    [
        *("code.open_end", "code.wrapped", "code.Two", "code.Made", "code.New", "code.Bare"),
        *("code.Circular", "code.Data", "code.twice", "code.again", "code.Base.__init__"),
        *("code", "code.missing", "sub.leaf.loop", "nowhere.X"),
    ],
)
def test_nobody_can_tell_what_some_targets_take(signatures, path) -> None:
    assert find_parameters(f"{signatures}.{path}") is None


@pytest.mark.parametrize(
    "target",
    [
        "torch.optim.AdamW",
        "espnet3.systems.asr.models.ASRModel",
        "espnet3.systems.asr.metrics.wer.WER",
        "espnet3.components.data.data_organizer.DataOrganizer",
    ],
)
def test_what_is_read_from_source_is_what_python_binds(target) -> None:
    names = set(inspect.signature(import_object(target)).parameters)
    assert set(find_parameters(target)) == names
