from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from espnet3.systems.base.inference_provider import InferenceProvider
from tests.unit.systems.base import toy_inference as toy


@pytest.fixture
def config():
    toy.builds.clear()
    return OmegaConf.create(
        {
            "dataset": {
                "_target_": f"{toy.HERE}.ToyOrganizer",
                "test": [{"name": "clean"}, {"name": "noisy", "ids": ["x", "y", "z"]}],
            },
            "model": {"_target_": f"{toy.HERE}.ToyModel"},
            "test_set": "noisy",
            "device": "cpu",
        }
    )


def test_nothing_is_built_at_construction(config):
    InferenceProvider(config)
    assert not toy.builds


def test_the_env_has_test_set_model_and_params(config):
    env = InferenceProvider(inference_config=config, params={"beam": 2}).build_env_local()
    assert sorted(env) == ["beam", "dataset", "model"]
    assert len(env["dataset"]) == 3


def test_the_local_test_set_is_shared(config):
    provider = InferenceProvider(config)
    assert provider.build_env_local()["dataset"] is provider.local_dataset()


def test_params_lie_on_top_of_a_copy_of_the_config(config):
    OmegaConf.set_struct(config, True)
    marker = object()
    provider = InferenceProvider(config, {"test_set": "clean", "new": 1, "object": marker})
    assert (provider.config.test_set, provider.config.new) == ("clean", 1)
    assert "object" not in provider.config
    assert provider.params["object"] is marker
    assert config.test_set == "noisy"


@pytest.mark.parametrize("name", ["dataset", "model"])
def test_built_objects_cannot_be_replaced_by_params(config, name):
    with pytest.raises(ValueError, match=name):
        InferenceProvider(config, {name: 1})


def test_the_setup_function_keeps_config_class_and_params_of_its_time(config):
    provider = InferenceProvider(config, {"beam": 2})
    setup = provider.build_worker_setup_fn()
    provider.params["beam"] = 9
    first, second = setup(), setup()
    assert first["beam"] == 2
    assert first["model"] is not second["model"]
    assert toy.builds["model"] == 2


def test_plain_dicts_are_accepted(config):
    plain = OmegaConf.to_container(config)
    assert len(InferenceProvider.build_dataset({**plain, "test_set": "clean"})) == 2
    assert InferenceProvider.build_model(plain)([(3,)]) == ["h3"]


def test_an_unknown_test_set_is_named(config):
    with pytest.raises(ValueError, match=r"(?s)'nosy'.*did you mean \"noisy\""):
        InferenceProvider.build_dataset({**config, "test_set": "nosy"})


def test_workers_refuse_a_build_method_that_needs_the_instance(config):
    provider = toy.InstanceProvider(config, {"prefix": "p"})
    assert provider.build_env_local()["model"].prefix == "p"
    with pytest.raises(TypeError, match=r"InstanceProvider\.build_model must be a static method"):
        provider.build_worker_setup_fn()
