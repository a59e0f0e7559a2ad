from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from espnet3.errors import ConfigError, MissingConfigError, UntrustedTargetError
from espnet3.utils.config_utils import (
    instantiate_config,
    iter_targets,
    load_config_with_defaults,
    to_plain,
)
from espnet3.utils.import_utils import use_target_policy

HERE = __name__


class Box:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs


class PickyError(LookupError):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first, second)


def refuse(**_: Any) -> None:
    raise PickyError("not", "today")


class Recording:
    """A policy that forbids one path and records the order of its checks."""

    def __init__(self, forbidden: str = "") -> None:
        self.forbidden = forbidden
        self.paths: list[tuple[str, str | None]] = []
        self.objects: list[Any] = []

    def check_path(self, path: str, *, key: str | None) -> None:
        self.paths.append((path, key))
        if path == self.forbidden:
            raise UntrustedTargetError(f"{key}: {path}")

    def check_object(self, obj: Any, path: str, *, key: str | None) -> None:
        self.objects.append(obj)


def test_nested_targets_are_built_first() -> None:
    box = instantiate_config(
        {"_target_": f"{HERE}.Box", "inner": [{"_target_": f"{HERE}.Box", "x": 1}]}
    )
    (inner,) = box.kwargs["inner"]
    assert isinstance(inner, Box)
    assert inner.kwargs == {"x": 1}


def test_without_recursion_nested_targets_arrive_as_dicts() -> None:
    inner = {"_target_": "no.such.module"}
    box = instantiate_config({"_target_": f"{HERE}.Box", "inner": inner}, recursive=False)
    assert box.kwargs["inner"] == inner


def test_containers_arrive_as_plain_lists_and_dicts() -> None:
    node = OmegaConf.create(
        {"n": 2, "box": {"_target_": f"{HERE}.Box", "items": ["${n}"], "map": {"a": "${n}"}}}
    )
    box = instantiate_config(node.box)
    assert type(box.kwargs["items"]) is list
    assert type(box.kwargs["map"]) is dict
    assert box.kwargs == {"items": [2], "map": {"a": 2}}


def test_convert_none_of_the_node_wins() -> None:
    box = instantiate_config({"_target_": f"{HERE}.Box", "_convert_": "none", "items": [1]})
    assert type(box.kwargs["items"]) is not list


def test_partial_waits_for_arguments() -> None:
    factory = instantiate_config({"_target_": f"{HERE}.Box", "_partial_": True, "a": 1}, 5, b=2)
    assert isinstance(factory, functools.partial)
    box = factory(c=3)
    assert box.args == (5,)
    assert box.kwargs == {"a": 1, "b": 2, "c": 3}


def test_arguments_of_the_call_win_and_are_passed_as_they_are() -> None:
    big = ["x" * 10] * 100_000
    box = instantiate_config({"_target_": f"{HERE}.Box", "data": None}, Box, data=big)
    assert box.kwargs["data"] is big
    assert box.args == (Box,)


@pytest.mark.parametrize("node", [{}, {"a": 1}, OmegaConf.create({"a": 1})])
def test_a_node_without_target_is_an_error_that_names_the_key(node: Any) -> None:
    with pytest.raises(MissingConfigError, match=r"x.yaml: model: needs a `_target_`"):
        instantiate_config(node, key="model", file="x.yaml")


def test_an_unknown_nested_target_names_its_own_key() -> None:
    node = {"_target_": f"{HERE}.Box", "parts": [{"_target_": f"{HERE}.Bax"}]}
    with pytest.raises(ConfigError, match=r"model.parts\[0\]._target_ = .*Bax") as caught:
        instantiate_config(node, key="model")
    assert 'did you mean "Box"' in str(caught.value)


@pytest.mark.parametrize("nested", [False, True])
def test_errors_of_the_target_keep_their_type_and_get_a_note(nested: bool) -> None:
    node: dict[str, Any] = {"_target_": f"{HERE}.refuse"}
    if nested:
        node = {"_target_": f"{HERE}.Box", "inner": node}
    with pytest.raises(PickyError) as caught:
        instantiate_config(node, key="optimizer")
    assert caught.value.args == ("not", "today")
    assert any("while building optimizer" in note for note in caught.value.__notes__)


def misconfigured() -> None:
    raise ConfigError("too small", key="optimizer.lr")


def test_config_errors_get_no_note_because_they_name_their_key() -> None:
    with pytest.raises(ConfigError, match="optimizer.lr: too small") as caught:
        instantiate_config({"_target_": f"{HERE}.misconfigured"}, key="optimizer")
    assert not hasattr(caught.value, "__notes__")


def test_policy_sees_every_nested_target_before_anything_is_built() -> None:
    policy = Recording(forbidden="os.system")
    node = {"_target_": f"{HERE}.refuse", "deep": {"list": [{"_target_": "os.system"}]}}
    with use_target_policy(policy), pytest.raises(UntrustedTargetError, match="os.system"):
        instantiate_config(node, key="model")
    assert policy.paths == [
        (f"{HERE}.refuse", "model._target_"),
        ("os.system", "model.deep.list[0]._target_"),
    ]


def test_policy_sees_the_objects_themselves() -> None:
    policy = Recording()
    with use_target_policy(policy):
        instantiate_config({"_target_": f"{HERE}.Box"})
    assert policy.objects == [Box]


def test_iter_targets_goes_outermost_first() -> None:
    tree = {"a": {"_target_": "x", "b": ({"_target_": "y"},)}}
    assert list(iter_targets(tree)) == [("a._target_", "x"), ("a.b[0]._target_", "y")]


def test_to_plain_resolves_nodes_and_leaves_the_rest() -> None:
    value = object()
    assert to_plain(value) is value
    assert to_plain(OmegaConf.create(["${.1}", 2])) == [2, 2]


def test_the_note_names_the_line_of_a_loaded_node(tmp_path: Path) -> None:
    path = tmp_path / "training.yaml"
    path.write_text(f"a: 1\noptimizer: {{_target_: {HERE}.refuse}}\n")
    with pytest.raises(PickyError) as caught:
        instantiate_config(load_config_with_defaults(path).optimizer, key="optimizer")
    assert (
        f"while building optimizer (_target_: {HERE}.refuse) at {path}:2" in caught.value.__notes__
    )
