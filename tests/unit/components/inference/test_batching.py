from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.components.inference.batching import (
    Batch,
    CostLimit,
    is_out_of_memory,
    plan_batches,
)
from espnet3.components.inference.settings import BatchingSettings, ExecutionSettings
from espnet3.errors import SettingError
from espnet3.utils.settings import parse_settings


def waste(batches, lengths):
    """Return the part of all batches that is padding."""
    total = sum(batch.cost for batch in batches)
    return 1.0 - sum(lengths) / total if total else 0.0


@given(
    lengths=st.lists(st.integers(1, 500), max_size=60),
    max_cost=st.none() | st.integers(1, 2000),
    max_size=st.integers(1, 20),
)
def test_dynamic_batches_hold_every_sample_once_within_the_budget(lengths, max_cost, max_size):
    settings = BatchingSettings(mode="dynamic", max_cost=max_cost, max_batch_size=max_size)
    batches = plan_batches(len(lengths), settings, lengths=lengths)
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(lengths)))
    longest = [batch.longest for batch in batches]
    assert longest == sorted(longest, reverse=True)
    budget = max_cost or 20 * max(lengths, default=0)
    for batch in batches:
        assert batch.longest == max(lengths[i] for i in batch.indices)
        assert len(batch.indices) <= max_size
        assert batch.cost <= budget or len(batch.indices) == 1
    assert 0.0 <= waste(batches, lengths) < 1.0


def test_sorted_batches_waste_little(
    lengths=tuple((i * 7919) % 1000 + 100 for i in range(500)),
):
    settings = BatchingSettings(mode="dynamic", max_cost=20_000)
    batches = plan_batches(500, settings, lengths=lengths)
    assert waste(batches, lengths) < 0.08


def test_dynamic_batches_need_lengths():
    with pytest.raises(ValueError, match="length of every sample"):
        plan_batches(3, BatchingSettings(mode="dynamic"))


def test_the_limit_follows_what_fitted():
    limit = CostLimit()
    batch = Batch(tuple(range(8)), longest=10.0)
    assert limit.fit(batch) == [batch]
    limit.failed(batch)
    assert limit.limit == 64.0
    assert [len(part.indices) for part in limit.fit(batch)] == [4, 4]
    for _ in range(200):
        limit.fitted()
    assert limit.limit == 80.0
    assert limit.fit(batch) == [batch]
    limit.limit = 1.0
    assert [part.indices for part in limit.fit(batch)] == [(i,) for i in range(8)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory."), True),
        (RuntimeError("cublas: CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected
    outer = RuntimeError("Batched inference failed")
    outer.__cause__ = error
    assert is_out_of_memory(outer) is expected


@pytest.mark.parametrize(
    ("settings", "failed", "allowed"),
    [
        ({}, 0, True),
        ({}, 1, False),
        ({"on_error": "record"}, 10, True),
        ({"on_error": "record"}, 11, False),
        ({"on_error": "record", "max_failures": 3}, 3, True),
        ({"on_error": "record", "max_failures": 3}, 4, False),
        ({"on_error": "record", "max_failures": 0.5}, 500, True),
    ],
)
def test_how_many_samples_may_fail(settings, failed, allowed):
    assert ExecutionSettings(**settings).allows_failures(failed, 1000) is allowed


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"max_failures": 5}, "max_failures = 5: is read only where failures are recorded"),
        ({"on_error": "record", "max_failures": 1.5}, "a whole number, or a part below 1"),
        ({"batching": {"max_cost": 100}}, r"batching.max_cost = 100.0: is read only with `mode: d"),
        ({"batching": {"mode": "fixed", "window": 9}}, r"batching.window = 9: is read only"),
        ({"batching": {"length_key": "x"}}, r"batching.length_key = 'x': is read only"),
    ],
)
def test_values_without_effect_are_refused(section, message):
    with pytest.raises(SettingError, match=message):
        parse_settings(section, ExecutionSettings, key="execution")


def test_values_that_say_what_happens_anyway_are_fine():
    section = {"max_failures": 0, "batching": {"mode": "single", "max_batch_size": 256}}
    assert parse_settings(section, ExecutionSettings, key="execution").max_failures == 0
