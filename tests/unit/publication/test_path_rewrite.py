from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from espnet3.publication.path_rewrite import Relocator, is_path_key
from espnet3.publication.yaml_links import expand_references

ROOT = Path("/work/recipe")
relocator = Relocator(recipe_root=ROOT, moved={Path("/far/model.pth"): "files/model.safetensors"})

names = st.text("abcxyz_-0", min_size=1, max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("anything", "/work/recipe/exp/config.yaml", "${recipe_dir}/exp/config.yaml"),
        ("anything", "/work/recipe", "${recipe_dir}"),
        ("anything", "/work/recipe/", "${recipe_dir}"),
        ("anything", "/work/recipe2/x", "external://x"),
        ("anything", "/work/recipe/../secret", "external://secret"),
        ("archive_path", "../../shared/speech.tar.gz", "external://speech.tar.gz"),
        ("bpemodel", "data/bpe.model", "${recipe_dir}/data/bpe.model"),
        ("save_path", "./data/tok", "${recipe_dir}/data/tok"),
        ("data_dir", ".", "${recipe_dir}"),
        ("input_key", "src", "src"),
        ("ckpt_path", "auto", "auto"),
        ("label", "text/plain", "text/plain"),
        ("model_file", "/far/model.pth", "${recipe_dir}/files/model.safetensors"),
        ("note", "${exp_dir}/x", "${exp_dir}/x"),
        ("note", "${oc.env:X}", "${oc.env:X}"),
        ("note", "--root=/work/recipe/exp", "--root=${recipe_dir}/exp"),
        ("note", "/work/recipe/${name}", "${recipe_dir}/${name}"),
        ("note", "${load_yaml:/work/recipe/conf/s.yaml,key}", "${load_yaml:s.yaml,key}"),
        ("note", "${load_line:'/work/recipe/data/t x.txt'}", "${load_line:'../data/t x.txt'}"),
        ("note", "/", "/"),
        ("note", "/s", "/s"),
        ("log_path", "/x", "external://x"),
        ("save_path", "", ""),
        ("cache_dir", "https://host/x", "https://host/x"),
    ],
)
def test_values_are_rewritten(key, value, expected):
    assert relocator.rewrite_config({key: value})[key] == expected


def test_symbols_are_left_alone():
    config = {"model": {"token_list": ["/", "/work/recipe", "a/b", ".."]}}
    assert relocator.rewrite_config(config) == config


def test_recipe_dir_is_here_and_added_where_it_is_needed():
    assert relocator.rewrite_config({"recipe_dir": "/work/recipe", "a": 1}) == {
        "recipe_dir": ".",
        "a": 1,
    }
    packed = relocator.rewrite_config({"model": {"save_path": "/work/recipe/x"}})
    assert packed["recipe_dir"] == "."
    nested = relocator.rewrite_config({"dataset": {"recipe_dir": "/work/recipe"}})
    assert nested["dataset"] == {"recipe_dir": "${recipe_dir}"}


def test_a_recipe_reached_through_a_link_is_recognised(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    both = Relocator(recipe_root=tmp_path / "link").rewrite_config(
        {"a": str(tmp_path / "link" / "x"), "b": str(tmp_path / "real" / "y")}
    )
    assert (both["a"], both["b"]) == ("${recipe_dir}/x", "${recipe_dir}/y")


@given(plain)
def test_configs_without_paths_do_not_change(config):
    wrapped = {"section": config}
    if not any(is_path_key(name) for name in _keys(wrapped)):
        assert Relocator(recipe_root=ROOT).rewrite_config(wrapped) == wrapped


@given(st.lists(names.filter(lambda n: n.strip("-_")), min_size=1, max_size=4))
def test_a_moved_bundle_resolves_to_its_new_place(parts):
    packed = relocator.rewrite_config({"model_file": str(ROOT.joinpath(*parts))})
    moved = OmegaConf.create({**packed, "recipe_dir": "/elsewhere"})
    assert moved.model_file == str(Path("/elsewhere").joinpath(*parts))
    assert expand_references(packed["model_file"], {"recipe_dir": "/elsewhere"}) == moved.model_file


def _keys(node):
    if isinstance(node, dict):
        for name, child in node.items():
            yield name
            yield from _keys(child)
    elif isinstance(node, list):
        for child in node:
            yield from _keys(child)
