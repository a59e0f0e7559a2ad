from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal

import pytest

from espnet3.utils.import_utils import import_object
from espnet3.utils.source_signatures import find_fields, find_signature

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
        ("code.function", {"a": Any, "b": int, "c": float | None}),
        ("code.Base", BASE),
        ("code.Child", BASE),
        ("code.Grandchild", BASE),
        ("Renamed", BASE),
        ("sub.leaf.f", {"z": Any}),
        ("f", {"z": Any}),
    ],
)
def test_arguments_are_read_from_the_source(signatures, path, parameters) -> None:
    found = find_signature(f"{signatures}.{path}")
    assert found is not None
    assert found.parameters == parameters
    assert not found.takes_any


@pytest.mark.parametrize(
    "path",
    [
        *("code.wrapped", "code.Two", "code.Made", "code.New", "code.Bare"),
        *("code.Circular", "code.Data", "code.twice", "code.again", "code.Base.__init__"),
        *("code", "code.missing", "sub.leaf.loop", "nowhere.X"),
    ],
)
def test_nobody_can_tell_what_some_targets_take(signatures, path) -> None:
    assert find_signature(f"{signatures}.{path}") is None


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
    bound = inspect.signature(import_object(target)).parameters
    found = find_signature(target)
    assert found is not None
    assert set(found.parameters) == set(bound)
    assert set(found.required) == {n for n, p in bound.items() if p.default is p.empty}


ANNOTATED = """
from typing import Literal, Optional, Union
from torch import Tensor

def f(
    rates: tuple[float, float],
    sizes: tuple[int, ...],
    flags: list[bool],
    kind: Literal["a", "b"],
    maybe: Optional[int],
    either: Union[int, bool],
    tensor: float | Tensor,
    quoted: "int | None",
    sloppy: int = None,
    text: str = "",
    unknown: Whatever | int = 1,
    weight: Tensor | None = None,
): ...

class Fields:
    SIZE = 3
    SETTINGS = Settings

@dataclass(frozen=True)
class Settings:
    a: int
    b: float | None = None

class Derived(Fields):
    def method(self, x, *, y=1): ...
    @staticmethod
    def static(x): ...
"""


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    (tmp_path / "annotated.py").write_text(ANNOTATED)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rates", tuple[float, float]),
        ("sizes", list[int]),
        ("flags", list[bool]),
        ("kind", Literal["a", "b"]),
        ("maybe", int | None),
        ("either", int | bool),
        ("tensor", float),
        ("quoted", int | None),
        ("sloppy", int | None),
        *((name, Any) for name in ("text", "unknown", "weight")),
    ],
)
def test_annotations_become_types_that_values_can_be_checked_against(annotated, name, hint):
    found = find_signature("annotated.f", root=annotated)
    assert found is not None
    assert found.parameters[name] == hint
    assert found.required[0] == "rates"


def test_null_is_allowed_where_the_source_says_so_or_says_nothing(annotated):
    found = find_signature("annotated.f", root=annotated)
    assert found is not None
    allowed = {name for name in found.parameters if found.allows_null(name)}
    assert allowed == {"maybe", "quoted", "sloppy", "text", "unknown", "weight"}


def test_methods_and_fields_of_settings_are_found(annotated):
    method = find_signature("annotated.Derived", method="method", root=annotated)
    assert method is not None
    assert (list(method.parameters), method.required) == (["x", "y"], ("x",))
    assert find_signature("annotated.Derived", method="static", root=annotated) is None
    fields = find_fields("annotated.Fields", "SETTINGS", root=annotated)
    assert fields is not None
    assert (fields.parameters, fields.required) == ({"a": int, "b": float | None}, ("a",))
    assert find_fields("annotated.Fields", "SIZE", root=annotated) is None
    assert find_fields("annotated.f", "SETTINGS", root=annotated) is None


def test_an_edited_file_is_read_again(annotated):
    assert find_signature("annotated.g", root=annotated) is None
    (annotated / "annotated.py").write_text("def g(new): ...")
    found = find_signature("annotated.g", root=annotated)
    assert found is not None
    assert list(found.parameters) == ["new"]


def test_star_imports_are_followed():
    found = find_signature("torch.nn.CrossEntropyLoss")
    assert found is not None
    assert found.owner == "torch.nn.modules.loss.CrossEntropyLoss"
    assert "label_smoothing" in found.parameters


def test_texts_numbers_and_paths_that_are_required_are_plain(tmp_path):
    (tmp_path / "plain.py").write_text(
        "def f(a: str, b: 'Path', c, d: str | None, e: list[str], g: int = 1, *, h: float): ...\n"
    )
    found = find_signature("plain.f", root=tmp_path)
    assert found is not None
    assert found.plain == {"a", "b", "h"}
