from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from espnet3.demo import resolve
from espnet3.errors import ConfigError, MissingFileError
from espnet3.systems.base.inference_provider import InferenceProvider
from espnet3.systems.base.inference_runner import InferenceRunner
from tests.unit.demo import backends

OWN_PROVIDER = "tests.unit.demo.backends.Provider"
OWN_RUNNER = "tests.unit.demo.backends.Runner"


def test_the_demo_config_lies_in_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"demo\.yaml"):
        resolve.load_demo_config(tmp_path)
    (tmp_path / "demo.yaml").write_text("system: asr\nui: {title: x, description: '${system}'}\n")
    assert resolve.load_demo_config(tmp_path).ui.description == "asr"


def test_paths_start_at_the_demo_config_or_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve.resolve_infer_path(None, None) is None
    assert resolve.resolve_infer_path("", tmp_path / "x.yaml") is None
    assert resolve.resolve_infer_path("a.yaml", None) == tmp_path / "a.yaml"
    assert resolve.resolve_infer_path("a.yaml", "/r/conf/demo.yaml") == Path("/r/conf/a.yaml")
    assert resolve.resolve_absolute_path("/x", base="/y") == Path("/x")
    assert resolve.resolve_absolute_path("../x", base="/y/z") == Path("/y/x")
    with pytest.raises(ValueError, match="absolute path could not be resolved"):
        resolve.resolve_absolute_path(None, base="/y")


def test_an_inference_config_is_resolved(tmp_path):
    (tmp_path / "infer.yaml").write_text("a: 1\nb: ${a}\n")
    assert resolve.load_infer_config(tmp_path / "infer.yaml") == {"a": 1, "b": 1}
    with pytest.raises(MissingFileError):
        resolve.load_infer_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("wrap", [dict, OmegaConf.create])
def test_output_keys_and_constants_come_from_the_config_then_the_system(wrap):
    assert resolve.resolve_output_keys(wrap({"system": "ASR"})) == {"text": "hyp"}
    assert resolve.resolve_extra_kwargs(wrap({"system": "asr"})) == {}
    assert resolve.resolve_output_keys(wrap({"system": "asr", "output_keys": {"a": "b"}})) == {
        "a": "b"
    }
    assert resolve.resolve_extra_kwargs(wrap({"extra_kwargs": {"beam": 3}})) == {"beam": 3}
    assert resolve.resolve_output_keys(wrap({})) == {}
    assert resolve.resolve_output_keys(wrap({"system": "nothing_of_ours"})) == {}


def test_the_inference_config_gives_arguments_of_the_runner():
    assert resolve.resolve_infer_kwargs(None) == {}
    config = OmegaConf.create({"input_key": ["a", "b"], "output_fn": "m.f", "batch_size": 2})
    assert resolve.resolve_infer_kwargs(config) == {
        "input_key": ["a", "b"],
        "output_fn_path": "m.f",
    }
    assert resolve.resolve_infer_kwargs({"input_key": None}) == {}


def test_classes_come_from_the_first_place_that_names_one():
    demo, infer = {"system": "asr"}, {}
    assert resolve.resolve_provider_class(demo, infer) is InferenceProvider
    assert resolve.resolve_runner_class(demo) is InferenceRunner
    infer = {"provider": {"provider_class": OWN_PROVIDER}, "runner": {"_target_": OWN_RUNNER}}
    assert resolve.resolve_provider_class(demo, infer) is backends.Provider
    assert resolve.resolve_runner_class({}, infer) is backends.Runner
    infer = {"provider": {"_target_": OWN_PROVIDER}}
    stock = "espnet3.systems.base.inference_provider.InferenceProvider"
    demo = {"inference": {"provider_class": stock, "runner_class": OWN_RUNNER}}
    assert resolve.resolve_provider_class(demo, infer) is InferenceProvider
    assert resolve.resolve_runner_class(demo, infer) is backends.Runner
    assert resolve.resolve_provider_class({}) is None
    assert resolve.resolve_runner_class({}, {}) is None


def test_a_class_that_does_not_exist_is_an_error():
    with pytest.raises(ConfigError, match=r"inference\.provider_class"):
        resolve.resolve_provider_class({"inference": {"provider_class": "no.where.X"}})


def test_a_system_without_modules_of_its_own_uses_the_base(caplog):
    assert resolve.resolve_provider_class({"system": "mystery"}) is InferenceProvider
    assert caplog.text == ""


def test_a_system_with_modules_of_its_own_uses_them_and_broken_ones_raise(tmp_path, monkeypatch):
    import espnet3.systems

    package = tmp_path / "toy"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inference.py").write_text("class InferenceRunner: ...\n")
    (package / "demo.py").write_text("import does_not_exist_here\n")
    monkeypatch.setattr(espnet3.systems, "__path__", [*espnet3.systems.__path__, str(tmp_path)])
    try:
        assert resolve.resolve_runner_class({"system": "toy"}).__module__.endswith("toy.inference")
        assert resolve.resolve_provider_class({"system": "toy"}) is InferenceProvider
        with pytest.raises(ModuleNotFoundError, match="does_not_exist_here"):
            resolve.resolve_output_keys({"system": "toy"})
    finally:
        for name in [n for n in sys.modules if n.startswith("espnet3.systems.toy")]:
            del sys.modules[name]


@pytest.mark.parametrize("name", ["../x", "os.path", "a b"])
def test_a_system_is_a_plain_name(name):
    with pytest.raises(ConfigError, match="is not the name of a system"):
        resolve.resolve_output_keys({"system": name})


def test_the_page_is_merged_over_that_of_the_system():
    assert resolve.resolve_ui({"system": "asr"})["title"] == "ASR Demo"
    merged = resolve.resolve_ui({"system": "asr", "ui": {"title": "Mine"}})
    assert merged["title"] == "Mine" and merged["outputs"][0]["name"] == "text"
    assert resolve.resolve_ui({"ui": {"title": "Mine"}}) == {"title": "Mine"}
    with pytest.raises(ValueError, match="ui"):
        resolve.resolve_ui({"system": "nothing_of_ours"})
