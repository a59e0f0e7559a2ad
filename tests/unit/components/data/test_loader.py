from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.multiprocessing

from espnet3.components.data.collate import CommonCollateFn
from espnet3.components.data.dataset import CombinedDataset
from espnet3.components.data.loader import ResumableLoader
from espnet3.components.data.planner import BatchPlanner
from espnet3.components.data.preprocessor import AbsPreprocessor
from espnet3.components.data.settings import PlannerSettings


class Utterances:
    """Utterances of growing length that count their reads."""

    def __init__(self, count=37):
        self.count, self.reads = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.reads += 1
        return {"x": np.full(index % 11 + 1, index, np.float32)}


class AddNoise(AbsPreprocessor):
    def __call__(self, uid, data, rng):
        return {"x": data["x"] + rng.normal(size=len(data["x"])).astype(np.float32)}


def make(count=37, **kwargs):
    settings = {"max_tokens": 40, "num_buckets": 3, "seed": 5, **kwargs.pop("settings", {})}
    dataset = CombinedDataset([Utterances(count)], [(None, AddNoise(True))], True)
    dataset.use_espnet_collator = True
    lengths = np.arange(count) % 11 + 1
    planner = BatchPlanner(lengths, PlannerSettings(**settings))
    return ResumableLoader(dataset, planner, CommonCollateFn(), **kwargs)


def trace(batches):
    """Ids and content of batches, for comparison."""
    return [(tuple(uids), batch["x"].numpy().tobytes()) for uids, batch in batches]


def whole(**kwargs):
    loader = make(**kwargs)
    epochs = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        epochs.append(trace(loader))
    return epochs


def test_an_epoch_has_every_utterance_once():
    loader = make()
    uids = [uid for batch_uids, _ in loader for uid in batch_uids]
    assert sorted(map(int, uids)) == list(range(37))
    assert len(loader) == loader.plan.num_steps


def test_epochs_differ_and_repeat():
    first, second = whole()
    assert first != second
    assert whole() == [first, second]
    loader = make()
    assert trace(loader) == trace(loader) == first


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_epoch_goes_on_exactly(workers):
    expected = whole()[1]
    loader = make(num_workers=workers)
    loader.set_epoch(1)
    batches = iter(loader)
    taken = [next(batches) for _ in range(3)]
    state = loader.state_dict()
    assert (state["epoch"], state["steps_consumed"]) == (1, 3)
    resumed = make(num_workers=workers)
    iter(resumed)
    resumed.load_state_dict(state)
    resumed.sampler.set_epoch(1)
    rest = trace(resumed)
    assert trace(taken) + rest == expected
    assert len(resumed) == len(expected)
    resumed.set_epoch(2)
    assert len(trace(resumed)) == len(expected)


def test_skipped_batches_are_not_read():
    loader = make()
    state = {**loader.state_dict(), "steps_consumed": len(loader) - 1}
    loader.load_state_dict(state)
    before = loader.dataset.datasets[0].reads
    ((uids, _),) = list(loader)
    assert loader.dataset.datasets[0].reads - before == len(uids)


def test_a_finished_epoch_is_not_repeated_after_a_restart():
    loader = make()
    batches = iter(loader)
    for _ in range(len(loader)):
        next(batches)
    state = loader.state_dict()
    restarted = make()
    restarted.load_state_dict(state)
    assert list(restarted) == []
    restarted.load_state_dict(state)
    restarted.set_epoch(1)
    assert trace(restarted) == whole()[1]


def test_an_abandoned_pass_starts_again():
    loader = make()
    next(iter(loader))
    assert trace(loader) == whole()[0]


def test_persistent_workers_follow_the_epoch():
    assert whole(num_workers=1, persistent_workers=True) == whole()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"count": 36}, "utterances or their lengths differ"),
        ({"settings": {"max_tokens": 50}}, "seed or the batch settings differ"),
        ({"world_size": 2}, "world size 1, this is 2"),
    ],
)
def test_a_state_of_other_data_is_refused_or_starts_the_epoch_again(other, message, caplog):
    loader = make()
    next(iter(loader))
    state = {**loader.state_dict(), "steps_consumed": 1}
    with pytest.raises(ValueError, match=message):
        make(**other).load_state_dict(state)
    lenient = make(**other, allow_data_change=True)
    lenient.load_state_dict(state)
    assert message in caplog.text
    assert lenient.state_dict()["steps_consumed"] == 0
    with pytest.raises(ValueError, match="unknown version"):
        loader.load_state_dict({**state, "version": 99})


def test_data_without_read_is_served_plainly():
    planner = BatchPlanner(np.arange(1, 5), PlannerSettings(max_batch_size=2))
    loader = ResumableLoader([10, 11, 12, 13], planner, sorted)
    assert sorted(x for batch in loader for x in batch) == [10, 11, 12, 13]


def _run_rank(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2
    )
    try:
        with pytest.raises(RuntimeError, match="ranks plan different batches"):
            next(iter(make(rank=rank, world_size=2, settings={"seed": rank})))
        loader = make(rank=rank, world_size=2)
        expected = trace(loader)
        batches = iter(loader)
        next(batches), next(batches)
        state = loader.state_dict()
        resumed = make(rank=rank, world_size=2)
        resumed.load_state_dict(state)
        assert trace(resumed) == expected[2:]
        torch.save({"uids": [uids for uids, _ in expected], "state": state}, f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


def test_two_ranks_share_an_epoch_resume_exactly_and_refuse_different_plans(tmp_path):
    torch.multiprocessing.spawn(_run_rank, (str(tmp_path),), nprocs=2)
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert len(one["uids"]) == len(other["uids"])
    flat = [uid for batch in one["uids"] + other["uids"] for uid in batch]
    assert len(set(flat)) == len(flat) == 37 - make(world_size=2).plan.num_dropped
    assert one["state"] == other["state"]
