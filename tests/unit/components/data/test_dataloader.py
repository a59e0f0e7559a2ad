from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from espnet3.components.data import dataloader, factory_batches
from espnet3.components.data.collate import CommonCollateFn
from espnet3.components.data.dataloader import DataLoaderBuilder
from espnet3.components.data.dataset import CombinedDataset
from espnet3.components.data.fileio import write_shape
from espnet3.components.data.loader import ResumableLoader
from espnet3.components.data.sharding import ShardedDataset


class Named(ShardedDataset):
    """Shards are marked by their number."""

    num_shards, world_shard_size = 4, 1

    def __init__(self, name="whole"):
        self.name = name

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return {"x": np.zeros(1), "name": self.name}

    def shard(self, idx):
        return Named(f"shard {idx}")


def numbers(count=6):
    samples = [{"x": np.arange(i + 1, dtype=np.float32)} for i in range(count)]
    return CombinedDataset([samples], [(None, None)])


def builder(section, dataset=None, collate_fn=None, num_device=1, epoch=0, **root):
    config = OmegaConf.create({"dataloader": {"train": section}, **root})
    dataset = numbers() if dataset is None else dataset
    return DataLoaderBuilder(dataset, config, collate_fn, num_device, epoch)


@pytest.fixture
def stats(tmp_path):
    write_shape(tmp_path / "train" / "feats_shape", {str(i): (i + 1, 80) for i in range(6)})
    return tmp_path


def factory(stats, **batches):
    return {
        "num_shards": 1,
        "iter_factory": {
            "_target_": "espnet3.components.data.iterators.SequenceIterFactory",
            "collate_fn": {"_target_": "espnet3.components.data.collate.CommonCollateFn"},
            "batches": {
                "type": "unsorted",
                "batch_size": 2,
                "shape_files": [f"{stats}/train/feats_shape"],
                **batches,
            },
        },
    }


def test_plain_loader_passes_options_on():
    section = {"iter_factory": None, "num_shards": 1, "batch_size": 4, "shuffle": False}
    loader = builder(section, collate_fn=len).build("train")
    assert isinstance(loader, torch.utils.data.DataLoader)
    assert list(loader) == [4, 2]


def test_absent_sections_give_the_defaults_of_torch():
    loader = DataLoaderBuilder(numbers(1), {"dataloader": None}, None, 1, 0).build("valid")
    assert next(iter(loader))["x"].shape == (1, 1)


def test_common_collate_gives_ids_and_lengths():
    dataset = numbers()
    dataset.use_espnet_collator = True
    section = {"iter_factory": None, "batch_size": 3}
    uids, batch = next(iter(builder(section, dataset, CommonCollateFn()).build("train")))
    assert uids == ["0", "1", "2"]
    assert batch["x_lengths"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("at_root", [False, True])
def test_samplers_get_the_dataset(at_root):
    sampler = {"sampler": {"_target_": "torch.utils.data.SequentialSampler"}}
    batches = {"batch_sampler": {"_target_": f"{__name__}.Pairs"}}
    for node, expected in ((sampler, [1] * 6), (batches, [2, 2, 2])):
        section, root = ({}, node) if at_root else (node, {})
        assert list(builder(section, collate_fn=len, **root).build("train")) == expected
    with pytest.raises(AssertionError, match="Cannot specify both sampler and batch_sampler"):
        builder({})._build_standard_dataloader({**sampler, **batches})


class Pairs(torch.utils.data.Sampler):
    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        return iter([[i, i + 1] for i in range(0, len(self.dataset), 2)])


def test_bad_sections():
    with pytest.raises(ValueError, match="must be train or valid"):
        builder({}).build("test")
    with pytest.raises(ValueError, match=r'dataloader\.train\.batch_sise.*\n.*"batch_size"'):
        builder({"batch_sise": 3}).build("train")
    for value in (True, False):
        with pytest.raises(RuntimeError, match="multiple_iterator"):
            builder({"multiple_iterator": value}).build("train")
    with pytest.raises(RuntimeError):
        builder({"iter_factory": {"_target_": "x.MultipleIterFactory"}}).build("train")
    with pytest.raises(AssertionError, match="only with `loader: native`"):
        builder({"max_tokens": 3}).build("train")
    with pytest.raises(RuntimeError, match=r"iter_factory\.batches"):
        builder({"iter_factory": {"_target_": "x.y"}}).build("train")


def test_iterator_factory_from_yaml(stats):
    dataset = numbers()
    dataset.use_espnet_collator = True
    loader = builder(factory(stats), dataset, collate_fn=len).build("train")
    uids = [uids for uids, batch in loader]
    assert uids == [["0", "1"], ["2", "3"], ["4", "5"]]


def test_batches_may_be_built_elsewhere_or_listed(stats, monkeypatch):
    seen = []
    monkeypatch.setattr(
        factory_batches, "build_batch_sampler", lambda **kw: seen.append(kw) or [[0]]
    )
    section = factory(stats, _target_="espnet3.components.data.samplers.build_batch_sampler")
    assert len(builder(section).build("train")) == 1
    assert seen[0]["type"] == "unsorted"
    section["iter_factory"]["batches"] = [[5], [1]]
    assert len(builder(section).build("train")) == 2


def test_options_that_a_factory_does_not_read_are_reported(stats, caplog):
    builder({**factory(stats), "num_workers": 2}).build("train")
    assert "num_workers not read while iter_factory is set" in caplog.text


def pretend_ranks(monkeypatch, world_size, rank):
    monkeypatch.setattr(dataloader.torch.distributed, "get_world_size", lambda: world_size)
    monkeypatch.setattr(dataloader.torch.distributed, "get_rank", lambda: rank)


def test_whole_batches_are_dealt_to_ranks(stats, monkeypatch, caplog):
    dealt = []
    for rank in (0, 1):
        pretend_ranks(monkeypatch, 2, rank)
        section = factory(stats)
        section["iter_factory"]["batches"] = [[i] for i in range(5)]
        section["iter_factory"]["collate_fn"] = {"_target_": "builtins.list", "_partial_": True}
        items = [batch[0]["x"] for batch in builder(section, num_device=2).build("train")]
        dealt.append([len(x) - 1 for x in items])
    assert dealt == [[0, 2], [1, 3]]
    assert "dropped 1 of 5 batches, kept 4" in caplog.text


def test_shards_rotate_with_the_epoch():
    dataset = CombinedDataset([Named()], [(None, None)])
    for epoch in (0, 3, 4):
        loader = builder({}, dataset, epoch=epoch).build("train")
        assert next(iter(loader))["name"] == [f"shard {epoch % 4}"]


def test_native_loader_with_template_defaults_beside_it(stats):
    section = {**factory(stats), "loader": "native", "max_tokens": 12, "num_workers": 0}
    loader = builder(section, stats_dir=str(stats), seed=7, collate_fn=list).build("train")
    assert isinstance(loader, ResumableLoader)
    assert loader.planner.settings.seed == 7
    lengths = sorted(len(sample["x"]) for batch in loader for sample in batch)
    assert lengths == [1, 2, 3, 4, 5, 6]


def test_native_defaults_depend_on_the_mode(stats):
    (stats / "valid").symlink_to(stats / "train")
    config = {
        "stats_dir": str(stats),
        "dataloader": {m: {"loader": "native", "max_batch_size": 2} for m in ("train", "valid")},
    }
    train, valid = (
        DataLoaderBuilder(numbers(), config, list, 1, 0).build(mode).planner.settings
        for mode in ("train", "valid")
    )
    assert (train.shuffle, train.tail) == (True, "drop")
    assert (valid.shuffle, valid.tail) == (False, "pad")


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"0": (1,)}, "has 1 utterances, the data set has 6"),
        ({f"u{i}": (1,) for i in range(6)}, "'u0' is '0' in the data set"),
    ],
)
def test_stale_statistics_are_noticed(stats, shapes, message):
    write_shape(stats / "train" / "feats_shape", shapes)
    section = {"loader": "native", "max_tokens": 9}
    with pytest.raises(ValueError, match=f"{message}.*run collect_stats again"):
        builder(section, stats_dir=str(stats)).build("train")


def test_native_needs_lengths_and_a_size(stats):
    section = {"loader": "native", "max_tokens": 9}
    with pytest.raises(RuntimeError, match="stats_dir"):
        builder(section).build("train")
    with pytest.raises(FileNotFoundError, match="speech_shape does not exist; run collect_stats"):
        builder({**section, "length_unit": "samples"}, stats_dir=str(stats)).build("train")
    with pytest.raises(AssertionError, match="max_tokens, max_batch_size or both"):
        builder({"loader": "native"}, stats_dir=str(stats)).build("train")
    with pytest.raises(AssertionError, match="use max_batch_size or max_tokens"):
        builder({"loader": "native", "batch_size": 3}).build("train")
    sharded = CombinedDataset([Named()], [(None, None)])
    with pytest.raises(AssertionError, match="does not read sharded data"):
        builder(section, sharded, stats_dir=str(stats)).build("train")


def test_a_recipe_may_bring_its_own_loader():
    section = {"loader": {"_target_": f"{__name__}.OwnLoader", "extra": 3}}
    loader = builder(section, collate_fn=len).build("train")
    assert (len(loader.dataset), loader.collate_fn, loader.extra) == (6, len, 3)


class OwnLoader:
    def __init__(self, dataset, collate_fn, extra):
        self.dataset, self.collate_fn, self.extra = dataset, collate_fn, extra


def test_loaders_are_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(dataloader, "_logged", set())
    with caplog.at_level(logging.INFO):
        builder({"batch_size": 2}).build("train")
        builder({"batch_size": 2}).build("train")
    assert caplog.text.count("dataloader train: class=DataLoader") == 1
