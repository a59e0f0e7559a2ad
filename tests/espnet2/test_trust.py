"""What a bundle that nobody vouches for may name of ESPnet2, compared with ESPnet2."""

from __future__ import annotations

import importlib
import inspect

import pytest
from espnet2.train.class_choices import ClassChoices

from espnet3.publication.espnet2_backends import BACKENDS
from espnet3.publication.espnet2_parts import REFUSED_PARTS, TASK_PARTS
from espnet3.utils.import_utils import import_object


@pytest.mark.parametrize("name", BACKENDS)
def test_arguments_on_the_list_are_those_of_the_class(name: str) -> None:
    backend = BACKENDS[name]
    listed = {*backend.configs, *backend.weights, *backend.plain, *backend.nested}
    assert listed <= inspect.signature(import_object(name)).parameters.keys()
    assert isinstance(import_object(backend.builds), type)


@pytest.mark.parametrize("task", TASK_PARTS)
def test_every_part_of_a_task_is_listed_or_refused_by_name(task: str) -> None:
    module = importlib.import_module(f"espnet2.tasks.{task}")
    choices = {c.name: set(c.classes) for c in vars(module).values() if isinstance(c, ClassChoices)}
    choices.pop("preprocessor", None)  # not built for inference
    assert choices.keys() == TASK_PARTS[task].keys()
    for name, parts in choices.items():
        allowed = TASK_PARTS[task][name]
        assert allowed <= parts
        assert {"wav2vec_cnn"} >= parts - allowed - REFUSED_PARTS.keys()
