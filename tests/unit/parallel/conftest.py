"""A cluster that the tests of one module share."""

from __future__ import annotations

import os

import pytest
from omegaconf import OmegaConf

from espnet3.parallel import parallel
from espnet3.parallel.parallel import build_client, close_client


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch):
    monkeypatch.setattr(parallel, "_registered", None)


@pytest.fixture(scope="session")
def cluster_client(tmp_path_factory):
    """Client of two local worker processes."""
    folder = tmp_path_factory.mktemp("dask")
    config = {"env": "local", "n_workers": 2, "options": {"local_directory": str(folder)}}
    before = parallel._registered
    client = build_client(OmegaConf.create(config))
    parallel._registered = before
    yield client
    close_client(client)


def variable(client, name):
    """Return a variable of the environment of the only worker."""
    # A method of `os.environ` would bring the variables of this process along.
    return client.run(lambda: os.environ.get(name)).popitem()[1]
