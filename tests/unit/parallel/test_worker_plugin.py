from __future__ import annotations

from types import SimpleNamespace

import pytest

from espnet3.errors import ParallelError
from espnet3.parallel.worker_plugin import PLUGIN_NAME, register_env


@pytest.mark.parametrize("method", ["register_worker_plugin", "register_plugin"])
def test_older_and_newer_releases_of_dask_get_the_plugin(method):
    given = {}
    client = SimpleNamespace(**{method: lambda plugin, name: given.update({name: plugin})})
    register_env(client, lambda: {"n": 1})
    assert given[PLUGIN_NAME].name == PLUGIN_NAME


def test_a_release_that_has_neither_method_is_too_old():
    with pytest.raises(ParallelError, match="upgrade"):
        register_env(SimpleNamespace(), dict)


def test_a_worker_without_the_library_is_explained():
    def refuse(plugin, name):
        raise ModuleNotFoundError("No module named 'espnet3'")

    with pytest.raises(ModuleNotFoundError) as caught:
        register_env(SimpleNamespace(register_plugin=refuse), dict)
    assert "every host" in caught.value.__notes__[0]
