from __future__ import annotations

import functools
import json
import logging
from pathlib import Path

import pytest

from espnet3.utils.describe import (
    build_callable_name,
    build_qualified_name,
    log_component,
    log_instance_dict,
)


class Box:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Grumpy:
    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("obj", "name"),
    [
        (Path, "pathlib.Path"),
        (Box(), f"{__name__}.Box"),
        ([1, 2], "list(len=2)"),
        ("abc", "str(len=3)"),
        (7, "7"),
        (10**400, "1" + "0" * 199 + "..."),
    ],
)
def test_qualified_names(obj, name):
    assert build_qualified_name(obj) == name


def test_callable_names():
    assert build_callable_name(json.dumps) == "json.dumps"
    assert build_callable_name(Box) == f"{__name__}.Box"
    assert build_callable_name(functools.partial(json.dumps)) == "partial"


def logged(caplog, *args, **kwargs):
    caplog.set_level(logging.INFO)
    log_component(logging.getLogger("x"), *args, **kwargs)
    return [record.getMessage() for record in caplog.records]


def test_nothing_is_logged_for_none(caplog):
    assert logged(caplog, "Model", "0", None) == []


def test_public_attributes_are_sorted_and_indented_up_to_the_depth(caplog):
    obj = Box(b=Box(inner=Box(deep=1)), a=Path("x"), _hidden=1)
    lines = logged(caplog, "Model", "0", obj, max_depth=2)
    assert lines[0] == f"Model[0] class: {__name__}.Box"
    names = [line.split(":")[0] for line in lines[2:]]
    assert names == ["  a", "  b", "    inner"]


def test_cycles_end(caplog):
    box = Box()
    box.me = box
    assert len(logged(caplog, "Box", "0", box, max_depth=9)) == 3


def test_iterators_are_not_consumed(caplog):
    numbers = iter([1, 2])
    logged(caplog, "Box", "0", Box(numbers=numbers))
    assert list(numbers) == [1, 2]


def test_a_failing_repr_is_noted_and_survived(caplog):
    assert "repr failed with RuntimeError: no" in logged(caplog, "Box", "0", Grumpy())[1]


def test_an_object_that_answers_every_question_with_an_error_is_survived(caplog):
    class Sealed:
        __slots__ = ()

        def __getattr__(self, name):
            raise RuntimeError("sealed")

    assert logged(caplog, "Box", "0", Box(inner=Sealed(), size=3))[-1] == "  size: 3"
    assert "Model[0] class: " in logged(caplog, "Model", "0", Sealed())[-2]


def test_all_entries_of_a_mapping_are_logged(caplog):
    caplog.set_level(logging.INFO)
    log_instance_dict(logging.getLogger("x"), "Callback", {"a": Box(), "b": Box()})
    log_instance_dict(logging.getLogger("x"), "Nothing", {})
    text = caplog.text
    assert "Callback[a] class" in text
    assert "Callback[b] class" in text
    assert "Nothing" not in text
