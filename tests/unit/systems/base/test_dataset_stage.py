from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType

import pytest
from omegaconf import OmegaConf

from espnet3.systems.base.dataset_stage import create_dataset

calls: list[tuple] = []


class Builder:
    prepared = built = False

    def is_source_prepared(self, **kwargs):
        calls.append(("is_source_prepared", kwargs))
        return self.prepared

    def prepare_source(self, **kwargs):
        calls.append(("prepare_source", kwargs))

    def is_built(self, **kwargs):
        calls.append(("is_built", kwargs))
        return self.built

    def build(self, **kwargs):
        calls.append(("build", kwargs))


class ReadyBuilder(Builder):
    prepared = built = True


class NeedyBuilder(Builder):
    """Declares what it takes."""

    def is_source_prepared(self, recipe_dir, dataset_name="an4"):
        calls.append(("is_source_prepared", {"recipe_dir": recipe_dir}))
        return True

    def is_built(self, recipe_dir, **_kwargs):
        calls.append(("is_built", {"recipe_dir": recipe_dir, **_kwargs}))
        return True


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


def run(config, builder=Builder, name="DatasetBuilder", inference=None):
    loaded = []

    def load(data_src, recipe_dir):
        loaded.append((data_src, recipe_dir))
        module = ModuleType("toy_dataset")
        if builder is not None:
            setattr(module, name, builder)
        return module

    config = OmegaConf.create(config)
    before = OmegaConf.to_yaml(config)
    create_dataset(
        config,
        OmegaConf.create(inference) if inference else None,
        load_module=load,
        builder_class_name="DatasetBuilder",
    )
    assert OmegaConf.to_yaml(config) == before
    return loaded


def test_an_unprepared_source_sees_four_calls_with_exactly_the_configured_arguments(caplog):
    caplog.set_level(logging.INFO)
    run(
        {
            "recipe_dir": "r",
            "root": "/corpora",
            "create_dataset": {"path": "${root}/x", "n": [1]},
            "dataset": {"train": [{"data_src": "a/asr"}]},
        }
    )
    kwargs = {"path": "/corpora/x", "n": [1]}
    names = ["is_source_prepared", "prepare_source", "is_built", "build"]
    assert calls == [(name, kwargs) for name in names]
    assert type(calls[0][1]["n"]) is list
    for text in (
        "starting dataset creation process",
        "Ensuring dataset is prepared: a/asr",
        "Dataset creation completed",
    ):
        assert text in caplog.text


def test_a_prepared_source_sees_two_calls():
    run({"dataset": {"train": [{}]}}, builder=ReadyBuilder)
    assert [name for name, _ in calls] == ["is_source_prepared", "is_built"]


def test_each_source_is_prepared_once_and_local_entries_count_as_one():
    loaded = run(
        {
            "recipe_dir": "here",
            "dataset": {
                "test": [{"data_src": "c"}, {"data_src": " "}],
                "train": [{"data_src": "a"}, {}, {"data_src": "b"}],
                "valid": [{"data_src": "a"}, {"data_src": None}],
            },
        }
    )
    assert loaded == [(source, "here") for source in ("a", None, "b", "c")]


def test_test_sets_of_the_inference_config_are_prepared_too():
    loaded = run(
        {"dataset": {"train": [{"data_src": "a"}]}},
        inference={"dataset": {"test": [{"data_src": "a"}, {"data_src": "only_test"}]}},
    )
    assert [source for source, _ in loaded] == ["a", "only_test"]


def test_null_splits_and_a_null_block_are_fine():
    run({"create_dataset": None, "dataset": {"train": None, "test": [{}]}}, builder=ReadyBuilder)
    assert calls[0] == ("is_source_prepared", {})


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "training_config.dataset must be set"),
        ({"dataset": None}, "training_config.dataset must be set"),
        ({"dataset": {"train": None, "valid": []}}, "must include at least one entry"),
    ],
)
def test_without_entries_the_stage_says_what_is_missing(config, text):
    with pytest.raises(RuntimeError, match=text):
        run(config)


def test_a_data_src_of_another_type_is_refused():
    with pytest.raises(TypeError, match="data_src"):
        run({"dataset": {"train": [{"data_src": 3}]}})


def test_a_module_without_builder_has_nothing_to_build(caplog):
    caplog.set_level(logging.INFO)
    run({"dataset": {"train": [{}]}}, builder=None)
    assert "nothing to build" in caplog.text


@pytest.mark.parametrize("name", ["DatasetBulider", "Datasetbuilder", "MyDatasetBuilder"])
def test_a_near_miss_of_the_builder_name_is_an_error(name):
    with pytest.raises(AttributeError, match=f"toy_dataset has no class DatasetBuilder.*{name}"):
        run({"dataset": {"train": [{}]}}, name=name)


def test_recipe_dir_is_supplied_where_a_method_names_it():
    run({"recipe_dir": "here", "dataset": {"train": [{}]}}, builder=NeedyBuilder)
    assert calls[0][1]["recipe_dir"] == "here"


def test_recipe_dir_of_the_block_wins():
    config = {"recipe_dir": "here", "create_dataset": {"recipe_dir": "there"}}
    run({**config, "dataset": {"train": [{}]}}, builder=NeedyBuilder)
    assert calls[0][1]["recipe_dir"] == "there"


def test_a_key_that_the_builder_does_not_take_is_named():
    config = {"create_dataset": {"dataset_nam": "x"}, "dataset": {"train": [{}]}}
    with pytest.raises(TypeError, match="dataset_nam") as caught:
        run(config, builder=NeedyBuilder)
    text = str(caught.value)
    assert "NeedyBuilder.is_source_prepared" in text
    assert "arguments of the dataset builder" in text
    assert 'did you mean "dataset_name"' in text


def test_a_type_error_inside_a_builder_is_not_reworded():
    class Broken(Builder):
        def is_source_prepared(self, **kwargs):
            raise TypeError("inner")

    with pytest.raises(TypeError, match="^inner$"):
        run({"dataset": {"train": [{}]}}, builder=Broken)


def test_the_data_dir_is_locked_while_a_builder_works(tmp_path):
    import fcntl

    seen = []

    class Locking(ReadyBuilder):
        def is_built(self, **kwargs):
            with Path(tmp_path / "data" / ".create_dataset.lock").open() as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    seen.append("locked")
            return True

    run({"data_dir": str(tmp_path / "data"), "dataset": {"train": [{}]}}, builder=Locking)
    assert seen == ["locked"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"train": [{}, {"data_srcargs": 1}]}, r'train\[1\].data_srcargs.*\n.*"data_src_args"'),
        ({"train": {"split": "train"}}, "dataset.train = .*must be a list of entries"),
        ({"valid": ["train"]}, r"dataset.valid\[0\] = 'train': must be a mapping"),
    ],
)
def test_entries_that_nothing_can_read_are_refused_before_anything_is_prepared(dataset, message):
    with pytest.raises(ValueError, match=message):
        run({"dataset": dataset})
    assert calls == []


def test_an_organizer_of_the_recipe_may_have_keys_of_its_own():
    run({"dataset": {"_target_": "src.data.Organizer", "train": [{"speed": 2}]}})
    assert len(calls) == 4
