from __future__ import annotations

import pytest

from espnet3.components.data.dataset_builder import DatasetBuilder


def test_all_four_methods_are_required():
    names = ("is_source_prepared", "prepare_source", "is_built", "build")
    for missing in names:
        members = {name: lambda self, **_kwargs: True for name in names if name != missing}
        with pytest.raises(TypeError, match=missing):
            type("Incomplete", (DatasetBuilder,), members)()
    complete = type("Complete", (DatasetBuilder,), {n: lambda self, **_kwargs: True for n in names})
    assert complete().is_built(recipe_dir="anything")
