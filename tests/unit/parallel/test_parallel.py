from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.parallel import parallel
from espnet3.parallel.parallel import get_parallel_config, preserve_parallel_config, set_parallel


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch):
    monkeypatch.setattr(parallel, "_registered", None)


def test_nothing_is_registered_at_first():
    assert get_parallel_config() is None


def test_none_registers_one_local_worker_only_when_nothing_is_registered():
    set_parallel(None)
    assert get_parallel_config() == {"env": "local", "n_workers": 1, "options": {}}
    set_parallel(OmegaConf.create({"env": "slurm", "n_workers": 4}))
    set_parallel(None)
    assert get_parallel_config().env == "slurm"


def test_the_registered_config_is_an_independent_copy():
    config = OmegaConf.create({"env": "local", "n_workers": 2, "options": {"memory": "1GB"}})
    set_parallel(config)
    config.options.memory = "9GB"
    config.n_workers = 7
    assert get_parallel_config() == {
        "env": "local",
        "n_workers": 2,
        "options": {"memory": "1GB"},
    }


@pytest.mark.parametrize("block", [{"env": "local"}, {"env": "local", "options": None}])
def test_options_become_a_mapping_and_the_callers_object_is_unchanged(block):
    config = OmegaConf.create(block)
    set_parallel(config)
    assert get_parallel_config().options == {}
    assert config == block


def test_interpolations_to_the_surrounding_file_are_resolved():
    root = OmegaConf.create({"jobs": 3, "parallel": {"env": "local", "n_workers": "${jobs}"}})
    set_parallel(root.parallel)
    assert get_parallel_config().n_workers == 3


def test_another_type_is_refused():
    with pytest.raises(TypeError, match="DictConfig"):
        set_parallel({"env": "local"})


def test_the_previous_config_is_put_back_even_after_an_error():
    set_parallel(OmegaConf.create({"env": "local", "n_workers": 1}))
    with pytest.raises(KeyError), preserve_parallel_config():
        set_parallel(OmegaConf.create({"env": "slurm"}))
        raise KeyError
    assert get_parallel_config().env == "local"


def test_closing_goes_on_to_the_cluster_whatever_the_client_does():
    closed = []

    class Cluster:
        def shutdown(self):
            closed.append("cluster")
            raise RuntimeError("closed already")

    class Client:
        cluster = Cluster()

        def close(self):
            closed.append("client")
            raise OSError("connection lost")

    parallel.close_client(Client())
    assert closed == ["client", "cluster"]
