from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from espnet3.components.data import dataset_module
from espnet3.components.data.dataset_module import (
    instantiate_dataset_reference,
    load_dataset_module,
    parse_dataset_reference_config,
    resolve_dataset_module_name,
)
from espnet3.utils.import_utils import use_target_policy

LOCAL = """
from .parts import Dataset
"""
PARTS = """
class Dataset:
    def __init__(self, split="x", **others):
        self.split, self.others = split, others
    def __len__(self):
        return 1
    def __getitem__(self, i):
        return {"a": i}
"""


@pytest.fixture
def recipe(tmp_path):
    return make_recipe(tmp_path / "recipe")


def make_recipe(path):
    folder = path / "dataset"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(LOCAL)
    (folder / "parts.py").write_text(PARTS)
    return path


def test_tags_become_module_names():
    assert resolve_dataset_module_name("mini_an4/asr") == "egs3.mini_an4.asr.dataset"
    assert resolve_dataset_module_name("my-recipe/asr") == "egs3.my_recipe.asr.dataset"


@pytest.mark.parametrize("ref", ["a//b", "/a/b", "a/b/", "../b", "./x", "hf:foo/bar"])
def test_malformed_tags_are_explained(ref):
    with pytest.raises(ValueError, match=r"tag .*dotted module path.*absent"):
        load_dataset_module(data_src=ref)


def test_tag_and_dotted_path_go_through_the_import_seam(monkeypatch):
    seen = []
    monkeypatch.setattr(dataset_module, "import_module", lambda name: seen.append(name) or sys)
    load_dataset_module(data_src="a-b/asr")
    load_dataset_module(data_src="my_pkg.data.foo")
    assert seen == ["egs3.a_b.asr.dataset", "my_pkg.data.foo"]


def test_local_module_is_loaded_once_with_relative_imports(recipe, monkeypatch):
    first = load_dataset_module(recipe_dir=recipe)
    monkeypatch.chdir(recipe.parent)
    assert load_dataset_module(recipe_dir="recipe") is first
    assert first.Dataset.__module__ == f"{first.__name__}.parts"


def test_similar_paths_get_different_modules(tmp_path):
    one = load_dataset_module(recipe_dir=make_recipe(tmp_path / "b_c"))
    other = load_dataset_module(recipe_dir=make_recipe(tmp_path / "b" / "c"))
    assert one.__name__ != other.__name__
    assert one.Dataset is not other.Dataset


def test_a_failed_import_can_be_repeated_after_the_fix(recipe):
    (recipe / "dataset" / "parts.py").write_text("raise OSError('disk')")
    with pytest.raises(OSError, match="disk"):
        load_dataset_module(recipe_dir=recipe)
    (recipe / "dataset" / "parts.py").write_text(PARTS + "# a different size\n")
    assert load_dataset_module(recipe_dir=recipe).Dataset


def test_missing_references_say_what_was_looked_for(tmp_path):
    with pytest.raises(AssertionError, match="recipe_dir must be set"):
        load_dataset_module()
    with pytest.raises(ModuleNotFoundError, match=r"dataset/__init__\.py.*set data_src"):
        load_dataset_module(recipe_dir=tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"egs3\.no_such\.asr\.dataset"):
        load_dataset_module(data_src="no_such/asr")


def test_a_missing_import_inside_a_dataset_module_surfaces(tmp_path, monkeypatch):
    (tmp_path / "has_bad_import.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        load_dataset_module(data_src="has_bad_import")
    assert caught.value.name == "not_there_at_all"


def test_references_are_parsed_without_resolving():
    config = OmegaConf.create({"data_src": "  ", "data_src_args": {"x": "${nowhere}"}})
    assert parse_dataset_reference_config(config) == (None, {"x": "${nowhere}"})
    assert parse_dataset_reference_config({"data_src": " a/b ", "data_src_args": None}) == (
        "a/b",
        {},
    )


def test_reference_types_are_checked():
    with pytest.raises(TypeError, match="data_src must be a string or None"):
        parse_dataset_reference_config({"data_src": 3})
    with pytest.raises(ValueError, match="data_src_args"):
        parse_dataset_reference_config({"data_src_args": "text"})


def test_only_data_src_args_reach_the_constructor(recipe):
    entry = {"name": "n", "split": "outer", "transform": None, "data_src_args": {"split": "inner"}}
    dataset = instantiate_dataset_reference(entry, recipe_dir=recipe)
    assert (dataset.split, dataset.others) == ("inner", {})


def test_a_module_without_dataset_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no class `Dataset`"):
        instantiate_dataset_reference({"data_src": "string"})


def test_an_untrusting_policy_is_asked_before_anything_is_imported(recipe):
    class Refuse:
        def check_path(self, path, *, key):
            raise PermissionError(path)

        def check_object(self, obj, path, *, key):
            raise PermissionError(path)

    with use_target_policy(Refuse()):
        with pytest.raises(PermissionError):
            load_dataset_module(recipe_dir=recipe)
        with pytest.raises(PermissionError):
            load_dataset_module(data_src="no_such/asr")


CARRIER = """
from espnet3.components.data.dataset_module import CarriesLocalModules

class Carrier(CarriesLocalModules):
    def __init__(self, dataset):
        self.dataset = dataset
"""


def test_local_classes_unpickle_in_a_process_that_never_saw_them(recipe, tmp_path, monkeypatch):
    (tmp_path / "carrier_module.py").write_text(CARRIER)
    monkeypatch.syspath_prepend(str(tmp_path))
    carrier = importlib.import_module("carrier_module").Carrier
    dataset = instantiate_dataset_reference({"data_src_args": {"split": "s"}}, recipe_dir=recipe)
    (tmp_path / "pickled").write_bytes(pickle.dumps(carrier(dataset)))
    code = (
        f"import pickle, sys; sys.path[:0] = {sys.path!r};"
        f" data = pickle.load(open({str(tmp_path / 'pickled')!r}, 'rb')).dataset;"
        " print(data[7], data.split, type(data).__module__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    module = type(dataset).__module__
    assert done.stdout.strip() == f"{{'a': 7}} s {module} False"
