from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from espnet3.components.inference.backend import build_model, resolve_device
from espnet3.errors import ConfigError, MissingConfigError

HERE = __name__


class TakesDevice:
    def __init__(self, scale=1, device="unset"):
        self.scale = scale
        self.device = device


class TakesAnything:
    def __init__(self, **kwargs):
        self.kwargs = kwargs


class PlainDecoder:
    def __init__(self, scale):
        self.scale = scale


class PlainModule(torch.nn.Module):
    def __init__(self, size=2):
        super().__init__()
        self.linear = torch.nn.Linear(size, size)


class OpensLater:
    """Stands for a tokenizer, which opens its file when it is used."""

    def __init__(self, model):
        self.model = model


class ReadsFile:
    """Reads a file that names another one, relative to the recipe."""

    def __init__(self, train_config, note="x" * 300, mode="words"):
        self.train_config = train_config
        self.mode = mode
        self.later = Path(train_config).read_text()
        self.tokens = Path(self.later).read_text()
        self.inner = OpensLater(OpensLater(self.later))


class FailsToLoad:
    def __init__(self):
        raise OSError("disk on fire")


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the process sees some CUDA devices."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    monkeypatch.delenv("LOCAL_RANK", raising=False)
    pretend(0)
    return pretend


@pytest.mark.parametrize(
    ("config", "local_rank", "count", "device"),
    [
        ({"device": "cuda:7"}, None, 0, "cuda:7"),
        ({"device": "cpu"}, "1", 2, "cpu"),
        ({"device_index": 1}, None, 0, "cpu"),
        ({}, None, 2, "cuda:0"),
        ({"device": "", "device_index": ""}, "", 2, "cuda:0"),
        ({"device_index": 1, "local_rank": 0}, None, 2, "cuda:1"),
        ({"device_index": 0}, "1", 2, "cuda:0"),
        ({"local_rank": 1}, "0", 2, "cuda:1"),
        ({}, "1", 2, "cuda:1"),
    ],
)
def test_the_device_follows_the_first_source_that_is_set(
    gpus, monkeypatch, config, local_rank, count, device
):
    gpus(count)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    assert resolve_device(OmegaConf.create(config)) == device
    assert resolve_device(config) == device


def test_indices_are_logical_whatever_devices_are_visible(gpus, monkeypatch):
    gpus(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert resolve_device({}) == "cuda:0"
    assert resolve_device({"device_index": 1}) == "cuda:1"


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_beyond_the_visible_devices_is_refused(gpus, index):
    gpus(2)
    with pytest.raises(RuntimeError, match=rf"{index}.*2"):
        resolve_device({"device_index": index})


def test_an_index_that_is_no_number_is_refused(gpus):
    gpus(2)
    with pytest.raises(ConfigError, match="device_index"):
        resolve_device({"device_index": "first"})


def build(target, **config):
    arguments = config.pop("arguments", {})
    return build_model(
        OmegaConf.create({"model": {"_target_": f"{HERE}.{target}", **arguments}, **config})
    )


def test_the_device_is_passed_by_keyword(gpus):
    assert build("TakesDevice").device == "cpu"
    assert build("TakesAnything").kwargs == {"device": "cpu"}
    gpus(8)
    assert build("TakesDevice", device="cuda:7", arguments={"scale": 2}).device == "cuda:7"


def test_a_device_inside_model_counts_unless_the_config_names_one(gpus):
    gpus(1)
    assert build("TakesDevice", arguments={"device": "cpu"}).device == "cpu"
    assert build("TakesDevice", device="cuda:0", arguments={"device": "cpu"}).device == "cuda:0"


@pytest.mark.parametrize("count", [0, 2])
def test_a_gpu_that_is_not_there_is_refused_whatever_the_model_takes(gpus, count):
    gpus(count)
    wanted = rf"device = 'cuda:9': is not .*\n.*this process sees {count} CUDA device"
    with pytest.raises(ConfigError, match=wanted):
        build("TakesAnything", device="cuda:9")
    with pytest.raises(ConfigError, match=wanted):
        build("TakesDevice", arguments={"device": "cuda:9"})


def test_an_index_without_any_gpu_is_warned_of(gpus, caplog):
    gpus(0)
    assert build("TakesDevice", device_index=7).device == "cpu"
    assert "device_index = 7 has no effect" in caplog.text


def test_models_without_a_device_parameter_are_built_and_modules_are_moved(gpus):
    assert build("PlainDecoder", arguments={"scale": 3}).scale == 3
    module = build("PlainModule", device="meta")
    assert module.linear.weight.is_meta
    assert not module.training
    with pytest.raises(TypeError, match="scal") as caught:
        build("PlainDecoder", arguments={"scal": 3})
    assert "while building model" in caught.value.__notes__[0]


def test_the_callers_config_is_not_changed(gpus):
    config = OmegaConf.create({"model": {"_target_": f"{HERE}.PlainDecoder", "scale": 1}})
    before = config.copy()
    build_model(config)
    assert config == before


def test_a_missing_model_section_is_named(gpus):
    with pytest.raises(MissingConfigError, match="model"):
        build_model({"model": None})


def test_what_a_model_raises_passes_unchanged(gpus):
    with pytest.raises(OSError, match="disk on fire"):
        build("FailsToLoad")


def test_device_and_target_are_logged(gpus, caplog):
    with caplog.at_level(logging.INFO):
        build("TakesDevice")
    assert "TakesDevice device=cpu" in caplog.text


@pytest.fixture
def recipe(tmp_path):
    recipe = tmp_path / "recipe"
    (recipe / "data").mkdir(parents=True)
    (recipe / "words").mkdir()
    (recipe / "data" / "tokens.txt").write_text("a b")
    (recipe / "train.yaml").write_text("data/tokens.txt")
    return recipe


@pytest.mark.parametrize("train_config", ["train.yaml", "recipe/train.yaml"])
def test_paths_inside_files_start_at_the_recipe(gpus, recipe, monkeypatch, train_config):
    monkeypatch.chdir(recipe.parent)
    model = build("ReadsFile", recipe_dir="recipe", arguments={"train_config": train_config})
    assert model.tokens == "a b"
    assert model.later == str(recipe / "data" / "tokens.txt")
    assert model.inner.model.model == model.later
    assert model.train_config == str(recipe / "train.yaml")
    assert model.mode == "words"
    assert Path.cwd() == recipe.parent


def test_inside_the_recipe_paths_stay_as_they_are(gpus, recipe, monkeypatch):
    monkeypatch.chdir(recipe)
    model = build("ReadsFile", recipe_dir=".", arguments={"train_config": "train.yaml"})
    assert (model.train_config, model.later) == ("train.yaml", "data/tokens.txt")


def test_the_working_directory_is_restored_after_an_error(gpus, recipe, monkeypatch):
    monkeypatch.chdir(recipe.parent)
    with pytest.raises(OSError, match="disk on fire"):
        build("FailsToLoad", recipe_dir=str(recipe))
    assert Path.cwd() == recipe.parent
