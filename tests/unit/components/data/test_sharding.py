from __future__ import annotations

import pytest

from espnet3.components.data.dataset import CombinedDataset, ShardedDataset
from espnet3.components.data.sharding import select_shard


class Numbers(ShardedDataset):
    def __init__(self, values, num_shards=2, world_shard_size=1):
        self.values = list(values)
        self.num_shards, self.world_shard_size = num_shards, world_shard_size

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        return {"x": self.values[i]}

    def shard(self, idx):
        return Numbers(self.values[idx :: self.num_shards], self.num_shards, self.world_shard_size)


def combine(*datasets, **kwargs):
    return CombinedDataset(datasets, [(None, None)] * len(datasets), **kwargs)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ([Numbers("ab"), ["x"]], "If any dataset is a subclass of ShardedDataset"),
        ([Numbers("", num_shards=None)], "requires num_shards and world_shard_size"),
        ([Numbers("a"), Numbers("", 4)], "must share the same num_shards and world_shard_size"),
    ],
)
def test_sharded_members_must_agree(datasets, message):
    with pytest.raises(RuntimeError, match=message):
        combine(*datasets)


def test_shard_applies_transforms_and_keeps_flags():
    data = CombinedDataset([Numbers(range(4))], [(lambda s: {"x": s["x"] * 10}, None)])
    data.use_espnet_collator = True
    part = data.shard(1)
    assert [part[i] for i in range(len(part))] == [("0", {"x": 10}), ("1", {"x": 30})]
    assert (part.num_shards, part.world_shard_size) == (2, 1)


@pytest.mark.parametrize(
    ("world", "shards", "table"),
    [
        (1, 2, [[0], [1], [0], [1]]),
        (1, 4, [[0], [1], [2], [3]]),
        (2, 2, [[0, 1]] * 4),
        (2, 4, [[0, 1], [2, 3], [0, 1], [2, 3]]),
    ],
)
def test_ranks_rotate_over_the_shards(world, shards, table):
    data = combine(Numbers(range(shards), shards, world))
    for epoch, expected in enumerate(table):
        read = [
            select_shard(data, epoch=epoch, rank=rank, world_size=world)[0]["x"]
            for rank in range(world)
        ]
        assert read == expected


@pytest.mark.parametrize("shards", [1, 3])
def test_shards_must_be_divisible_by_the_world_size(shards):
    with pytest.raises(RuntimeError, match="num_shards must be divisible by world_size"):
        select_shard(combine(Numbers("abc", shards, 2)), epoch=0, rank=0, world_size=2)


def test_world_size_must_match():
    with pytest.raises(RuntimeError, match="world_shard_size must match"):
        select_shard(combine(Numbers("abc", 4, 2)), epoch=0, rank=0, world_size=1)


def test_ducks_are_sharded_by_either_spelling():
    class Duck(list):
        total_shards, dist_world_size = 2, 1

    with pytest.raises(RuntimeError, match=r"shard\(\) is not implemented"):
        select_shard(Duck("ab"), epoch=0, rank=0, world_size=1)
    Duck.shard = lambda self, idx: self[idx]
    assert select_shard(Duck("ab"), epoch=1, rank=0, world_size=1) == "b"
    Duck.num_shards = 3
    with pytest.raises(RuntimeError, match=r"num_shards = 3 and \.total_shards = 2 differ"):
        select_shard(Duck("ab"), epoch=1, rank=0, world_size=1)


def test_plain_data_is_left_alone_and_the_base_class_explains_itself():
    data = combine([{"x": 1}])
    assert select_shard(data, epoch=0, rank=0, world_size=2) is data
    with pytest.raises(NotImplementedError, match=r"must implement shard\(idx\)"):
        ShardedDataset().shard(0)
    with pytest.raises(RuntimeError, match="without shard"):
        data.shard(0)
