from __future__ import annotations

from collections import Counter

import pytest
from omegaconf import OmegaConf

from espnet3.parallel.inference_provider import InferenceProvider

builds: Counter[str] = Counter()


class CountedProvider(InferenceProvider):
    @staticmethod
    def build_dataset(config):
        builds["dataset"] += 1
        return list(config.items_)

    @staticmethod
    def build_model(config):
        builds["model"] += 1
        return object()


@pytest.fixture
def provider():
    builds.clear()
    return CountedProvider(OmegaConf.create({"items_": [1, 2]}), params={"scale": 3})


def test_the_local_env_is_built_once_and_handed_out_as_copies(provider):
    first = provider.build_env_local()
    first["dataset"] = None
    second = provider.build_env_local()
    assert second["dataset"] == [1, 2]
    assert second["scale"] == 3
    assert builds == {"dataset": 1, "model": 1}


def test_each_call_of_the_setup_function_builds_anew(provider):
    setup = provider.build_worker_setup_fn()
    assert builds == {"dataset": 1, "model": 1}
    assert setup()["model"] is not setup()["model"]
    assert builds == {"dataset": 3, "model": 3}


def test_the_setup_function_keeps_the_params_of_its_time(provider):
    setup = provider.build_worker_setup_fn()
    provider.params["scale"] = 99
    assert setup()["scale"] == 3
