from __future__ import annotations

import importlib.metadata
import re

import espnet3
from espnet3.demo.requirements import installed_gradio, pin_requirements


def test_the_list_pins_everything_that_is_needed_here():
    own, *lines = pin_requirements()
    assert own == f"espnet3[demo]=={espnet3.__version__}"
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line) for line in lines)
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))
    # Direct ones, those of gradio, and those of what gradio needs.
    assert {"torch", "gradio", "fastapi", "starlette", "dask", "distributed"} <= set(names)
    assert "pytest" not in names and "sphinx" not in names
    for line in lines:
        name, _, version = line.partition("==")
        assert importlib.metadata.version(name).partition("+")[0] == version


def test_gradio_is_named_in_its_version():
    assert installed_gradio() == importlib.metadata.version("gradio")
