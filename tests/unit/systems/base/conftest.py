"""What the tests of the inference stage share."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.parallel import parallel
from espnet3.parallel.parallel import build_client, close_client
from espnet3.systems.base import inference_workers
from espnet3.systems.base.inference import infer
from tests.unit.systems.base import toy_inference as toy


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the stage on twelve samples; return the folder of the test set."""
    monkeypatch.setattr(parallel, "_registered", None)
    toy.builds.clear()
    toy.seen.clear()

    def run(
        folder="out",
        model="ToyModel",
        ids=toy.IDS,
        arguments=None,
        organizer=f"{toy.HERE}.ToyOrganizer",
        **changes,
    ):
        fields = {name: changes.pop(name) for name in ("bad", "deadly") if name in changes}
        changes.setdefault("output_keys", ["hyp"])
        config = toy.toy_config(
            tmp_path / folder,
            dataset={
                "_target_": organizer,
                "test": [{"name": "clean", "ids": list(ids)}],
                **fields,
            },
            model={"_target_": f"{toy.HERE}.{model}", **(arguments or {})},
            **changes,
        )
        infer(OmegaConf.create(config))
        return tmp_path / folder / "clean"

    return run


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """Client of two workers, which start once for all tests of a module."""
    folder = tmp_path_factory.mktemp("dask")
    before = parallel._registered
    options = {"local_directory": str(folder)}
    client = build_client(OmegaConf.create({"env": "local", "n_workers": 2, "options": options}))
    parallel._registered = before
    yield client
    close_client(client)


@pytest.fixture
def workers(two_workers, monkeypatch):
    """Let the stage use those workers; return the key that asks for two."""
    monkeypatch.setattr(inference_workers, "build_client", lambda: two_workers)
    monkeypatch.setattr(inference_workers, "close_client", lambda client: None)
    return {"parallel": {"env": "local", "n_workers": 2}}
