from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.data.planner import BatchPlanner
from espnet3.components.data.settings import PlannerSettings

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=120).map(np.array)


@st.composite
def plans(draw):
    planner = BatchPlanner(
        draw(LENGTHS),
        PlannerSettings(
            max_tokens=draw(st.integers(200, 900)),
            max_batch_size=draw(st.none() | st.integers(1, 8)),
            num_buckets=draw(st.integers(1, 12)),
            tail=draw(st.sampled_from(["drop", "pad", "repeat"])),
            order=draw(st.sampled_from(["random", "ascending", "descending"])),
            shuffle=draw(st.booleans()),
            seed=draw(st.integers(0, 5)),
        ),
    )
    return planner, planner.plan(draw(st.integers(0, 3)), draw(st.integers(1, 16)))


def batches_of(plan):
    steps, ranks = range(plan.num_steps), range(plan.world_size)
    return [plan.batch(step, rank) for step in steps for rank in ranks]


@given(plans())
def test_all_ranks_have_equally_many_full_steps(case):
    _, plan = case
    assert plan.num_steps >= 1
    assert len(plan.starts) == len(plan.ends) == plan.num_steps * plan.world_size
    assert all(batches_of(plan))


@given(plans())
def test_no_batch_is_over_its_limits(case):
    planner, plan = case
    for batch in batches_of(plan):
        assert len(batch) * planner.lengths[batch].max() <= planner.settings.max_tokens
        assert len(batch) <= (planner.settings.max_batch_size or len(batch))


@given(plans())
def test_every_utterance_comes_once_but_for_the_tail(case):
    planner, plan = case
    seen = sorted(position for batch in batches_of(plan) for position in batch)
    if plan.num_repeated:
        assert set(seen) == set(range(len(planner.lengths)))
    else:
        assert len(set(seen)) == len(seen) == len(planner.lengths) - plan.num_dropped
    if planner.settings.tail == "pad" and len(planner.lengths) >= 16 * len(plan.starts):
        assert plan.num_repeated == 0
    if plan.world_size == 1:
        assert plan.num_dropped == plan.num_repeated == 0


@given(plans())
def test_plans_are_functions_of_their_inputs(case):
    planner, plan = case
    again = BatchPlanner(planner.lengths.copy(), planner.settings)
    assert again.plan(plan.epoch, plan.world_size).digest == plan.digest
    assert again.plan(plan.epoch + 1, plan.world_size).num_steps == plan.num_steps


@given(LENGTHS, st.integers(2, 5))
def test_small_batches_are_avoided_where_possible(lengths, smallest):
    planner = BatchPlanner(
        lengths, PlannerSettings(max_tokens=1000, max_batch_size=7, min_batch_size=smallest)
    )
    sizes = sorted(len(batch) for batch in batches_of(planner.plan(0)))
    assert sum(size < smallest for size in sizes) <= 1
    if len(lengths) % smallest == 0 or len(lengths) >= smallest * 7:
        assert sizes[0] >= smallest or len(lengths) < smallest


def make(lengths=None, **kwargs):
    lengths = np.arange(1, 101) if lengths is None else np.array(lengths)
    return BatchPlanner(lengths, PlannerSettings(**{"max_tokens": 400, **kwargs}))


def test_epochs_and_seeds_differ_unless_shuffling_is_off():
    digests = {make(seed=s).plan(e).digest for s in (0, 1) for e in (0, 1)}
    assert len(digests) == 4
    fixed = make(shuffle=False)
    assert batches_of(fixed.plan(0)) == batches_of(fixed.plan(7))


def test_the_order_is_frozen():
    """The same on every platform and in every release: checkpoints depend on it."""
    plan = make([5, 3, 8, 1, 9, 2], max_tokens=18, num_buckets=2).plan(epoch=3)
    assert batches_of(plan) == FROZEN


FROZEN = [[3, 0], [4, 1], [2, 5]]


def test_orders():
    for order, expected in (("ascending", sorted), ("descending", lambda x: sorted(x)[::-1])):
        planner = make(order=order, num_buckets=1000, max_batch_size=4)
        means = [float(planner.lengths[b].mean()) for b in batches_of(planner.plan(0))]
        assert means == expected(means)


def test_all_batches_of_a_step_are_of_similar_length():
    planner = make(num_buckets=10, max_batch_size=4, tail="drop")
    plan = planner.plan(0, world_size=2)
    for step in range(plan.num_steps):
        a, b = (planner.lengths[plan.batch(step, rank)].mean() for rank in (0, 1))
        assert abs(a - b) < 25


def test_what_is_dropped_changes_with_the_epoch():
    planner = make(max_batch_size=4, tail="drop")
    dropped = [
        set(range(100)) - {i for b in batches_of(planner.plan(e, 8)) for i in b} for e in range(6)
    ]
    assert all(dropped)
    assert len(set(map(frozenset, dropped))) > 1


def test_padding_splits_batches_and_repeats_only_without_a_choice():
    plan = make(max_batch_size=10, max_tokens=1000, tail="pad").plan(0, world_size=7)
    assert (plan.num_repeated, sum(map(len, batches_of(plan)))) == (0, 100)
    assert make([5, 5], tail="pad").plan(0, world_size=3).num_repeated == 1
    assert make([5, 5], tail="drop").plan(0, world_size=3).num_steps == 1


def test_filters_and_utterances_above_the_budget(caplog):
    with caplog.at_level(logging.INFO):
        planner = make([1, 5, 50, 900], min_length=2, max_length=1000)
    assert sorted(i for b in batches_of(planner.plan(0)) for i in b) == [1, 2]
    assert "left out by length=1 of=4" in caplog.text
    assert "1 utterances are longer than 400: #3 (900)" in caplog.text
    single = make([1, 5, 50, 900], oversize="single", num_buckets=4, min_batch_size=3)
    assert [3] in batches_of(single.plan(0))
    with pytest.raises(ValueError, match=r"#3 \(900\).*\n.*oversize"):
        make([1, 5, 50, 900], oversize="error")
    with pytest.raises(ValueError, match="no utterance is left"):
        make([1], min_length=2)


def test_settings_that_cannot_work():
    for bad in (
        {"max_tokens": None},
        {"max_tokens": 0},
        {"min_batch_size": 3, "max_batch_size": 2},
    ):
        with pytest.raises(AssertionError):
            PlannerSettings(**{"max_tokens": 10, **bad})
    with pytest.raises(AssertionError, match="only 4 utterances of length 100"):
        make(min_batch_size=5)


def test_padding_is_little_on_lengths_like_those_of_speech():
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(6.3, 0.5, 20000), 50, 4000).astype(np.int64)
    planner = make(lengths, max_tokens=40000)
    plan = planner.plan(0)
    filled = sum(int(lengths[b].sum()) for b in batches_of(plan))
    padded = sum(len(b) * int(lengths[b].max()) for b in batches_of(plan))
    assert plan.padding_waste(planner.lengths) == pytest.approx(1 - filled / padded)
    assert plan.padding_waste(planner.lengths) < 0.05


def test_plans_stay_small_in_memory():
    planner = make(np.full(50_000, 10), max_tokens=320)
    plan = planner.plan(1)
    arrays = [getattr(plan, f.name) for f in dataclasses.fields(plan)]
    size = sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))
    assert size <= 12 * 50_000
