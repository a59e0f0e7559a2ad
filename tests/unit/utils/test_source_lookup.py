from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from espnet3.utils.source_lookup import check_import_path

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
