from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from espnet3.errors import ConfigError, MissingDependencyError, UntrustedTargetError
from espnet3.utils import import_utils
from espnet3.utils.import_utils import (
    active_target_policy,
    import_object,
    is_available,
    require_package,
    trusted_target,
    use_target_policy,
)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable package with a sound, a broken and a fussy module."""
    root = tmp_path / "imported_sample"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "good.py").write_text(
        textwrap.dedent(
            """
            class Outer:
                class Inner:
                    pass
            """
        )
    )
    (root / "broken.py").write_text("import no_such_dependency_anywhere")
    (root / "fussy.py").write_text("raise OSError('no device')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root.name
    for name in [n for n in sys.modules if n.split(".")[0] == root.name]:
        del sys.modules[name]


def test_modules_functions_and_nested_attributes_are_found(package: str) -> None:
    assert import_object("json").__name__ == "json"
    assert import_object("os.path.join")("a", "b") == str(Path("a/b"))
    inner = import_object(f"{package}.good.Outer.Inner")
    assert inner.__qualname__ == "Outer.Inner"


@pytest.mark.parametrize("path", ["", "a b", "a..b", "1a", "a:b", None, 3])
def test_text_that_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(ConfigError, match="is not a dotted import path"):
        import_object(path)


def test_a_missing_module_names_key_and_file() -> None:
    with pytest.raises(ConfigError, match=r"f.yaml: output_fn = 'nowhere_at_all.x': no module"):
        import_object("nowhere_at_all.x", key="output_fn", file="f.yaml")


def test_a_missing_attribute_lists_or_suggests_names(package: str) -> None:
    with pytest.raises(ConfigError, match='did you mean "Outer"'):
        import_object(f"{package}.good.Outr")
    with pytest.raises(ConfigError, match=r"has no attribute 'zzz'\n  it has: Outer"):
        import_object(f"{package}.good.zzz")
    with pytest.raises(ConfigError, match="it has: nothing public"):
        import_object(f"{package}.good.Outer.Inner.zzz")


def test_a_missing_import_inside_a_module_surfaces(package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency_anywhere"):
        import_object(f"{package}.broken.x")


def test_an_error_inside_a_module_surfaces(package: str) -> None:
    with pytest.raises(OSError, match="no device"):
        import_object(f"{package}.fussy.x")


class ByPrefix:
    def check_path(self, path: str, *, key: str | None) -> None:
        if not path.startswith("json"):
            raise UntrustedTargetError(f"{path} may not be imported")

    def check_object(self, obj: Any, path: str, *, key: str | None) -> None:
        if not callable(obj):
            raise UntrustedTargetError(f"{path} is not callable")


def test_a_policy_is_asked_before_the_import(package: str) -> None:
    with use_target_policy(ByPrefix()), pytest.raises(UntrustedTargetError, match="imported"):
        import_object(f"{package}.fussy.x")
    assert f"{package}.fussy" not in sys.modules


def test_a_policy_is_asked_about_the_object() -> None:
    with use_target_policy(ByPrefix()):
        assert import_object("json.dumps")
        with pytest.raises(UntrustedTargetError, match="not callable"):
            import_object("json.decoder")


def test_policies_nest_and_end_with_their_block() -> None:
    outer, inner = ByPrefix(), ByPrefix()
    assert active_target_policy() is None
    with use_target_policy(outer):
        with use_target_policy(inner):
            assert active_target_policy() is inner
        assert active_target_policy() is outer
        with use_target_policy(None):
            assert active_target_policy() is None
    assert active_target_policy() is None


def test_trusted_targets_are_recorded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_utils, "TRUSTED_TARGETS", set())
    assert trusted_target(ByPrefix) is ByPrefix
    assert {f"{__name__}.ByPrefix"} == import_utils.TRUSTED_TARGETS


def test_optional_packages() -> None:
    assert is_available("json")
    assert not is_available("nowhere_at_all")
    assert require_package("json", extra="x", feature="y").dumps(1) == "1"
    with pytest.raises(MissingDependencyError, match=r'(?s)the demo needs .*"espnet3\[demo\]"'):
        require_package("nowhere_at_all", extra="demo", feature="the demo")
